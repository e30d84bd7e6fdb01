/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>

static void swap_bytes(uint8_t *a, uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t t = a[i];

		a[i] = b[i];
		b[i] = t;
	}
}

/* Lets the element at @root sink to its place in the heap of @n elements. */
static void sift_down(uint8_t *base, size_t root, size_t n, size_t size,
		      int (*compare)(const void *, const void *))
{
	for (;;) {
		size_t child = 2 * root + 1;

		if (child >= n)
			return;
		if (child + 1 < n && compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + root * size, base + child * size) >= 0)
			return;
		swap_bytes(base + root * size, base + child * size, size);
		root = child;
	}
}

/* Heapsort: no recursion and no bad case, which matters more here than the best case. */
void qsort(void *base_in, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	uint8_t *base = base_in;

	for (size_t i = n / 2; i > 0; i--)
		sift_down(base, i - 1, n, size, compare);
	for (size_t end = n; end > 1; end--) {
		swap_bytes(base, base + (end - 1) * size, size);
		sift_down(base, 0, end - 1, size, compare);
	}
}

void *bsearch(const void *key, const void *base, size_t n, size_t size,
	      int (*compare)(const void *, const void *))
{
	const uint8_t *p = base;

	while (n > 0) {
		const uint8_t *mid = p + n / 2 * size;
		int r = compare(key, mid);

		if (r == 0)
			return (void *)(uintptr_t)mid;
		if (r > 0) {
			p = mid + size;
			n -= n / 2 + 1;
		} else {
			n /= 2;
		}
	}
	return NULL;
}
