/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void add_region(struct guest_memory *m, uint64_t start, uint64_t size, uint8_t *host)
{
	m->regions[m->n_regions++] = (struct memory_region){GPA(start), size, host};
}

/*
 * The pages that the guest touches while it boots, brought in with one call: it takes frames
 * from the lowest address up. One by one each costs an exit where KVM shadows page tables.
 * Older kernels do not know the advice, and nothing depends on it.
 */
static void warm(const struct guest_memory *m)
{
	const size_t start = 1u << 20, bytes = 4u << 20;

	if (m->size >= start + bytes)
		(void)madvise(m->base + start, bytes, MADV_POPULATE_WRITE);
}

int guest_memory_init(struct guest_memory *m, uint64_t bytes, uint64_t bytes_max, struct failure *f)
{
	uint64_t low = bytes < MEMORY_LOW_MAX ? bytes : MEMORY_LOW_MAX;
	uint8_t *map;

	*m = (struct guest_memory){0};
	if (bytes < MEMORY_BYTES_MIN)
		return failure(f, -EINVAL,
			       "%llu MiB of memory is too little: the guest needs at least "
			       "%llu MiB (--mem)",
			       (unsigned long long)bytes >> 20, MEMORY_BYTES_MIN >> 20);
	if (bytes > bytes_max)
		return failure(f, -EINVAL,
			       "%llu MiB of memory is too much: the guest uses at most "
			       "%llu MiB (--mem)",
			       (unsigned long long)bytes >> 20,
			       (unsigned long long)bytes_max >> 20);
	if (bytes % MEMORY_PAGE)
		return failure(f, -EINVAL, "memory must be a multiple of %u bytes", MEMORY_PAGE);

	/*
	 * Guard pages keep neighbouring mappings from being merged into this one, which
	 * would blur the accounting of what is resident, and catch a stray host access.
	 */
	map = mmap(NULL, bytes + 2 * MEMORY_PAGE, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return failure(f, -ENOMEM, "cannot map %llu MiB of guest memory: %s",
			       (unsigned long long)bytes >> 20, strerror(errno));
	m->base = map + MEMORY_PAGE;
	m->size = bytes;
	if (mprotect(m->base, bytes, PROT_READ | PROT_WRITE) < 0) {
		guest_memory_deinit(m);
		return failure(f, -ENOMEM, "cannot map %llu MiB of guest memory: %s",
			       (unsigned long long)bytes >> 20, strerror(ENOMEM));
	}
	(void)madvise(m->base, bytes, MADV_DONTFORK);
	warm(m);
	add_region(m, 0, low, m->base);
	if (bytes > low)
		add_region(m, MEMORY_HIGH_START, bytes - low, m->base + low);
	return 0;
}

void guest_memory_deinit(struct guest_memory *m)
{
	if (m->base)
		(void)munmap(m->base - MEMORY_PAGE, m->size + 2 * MEMORY_PAGE);
	*m = (struct guest_memory){0};
}

void *guest_memory_at(const struct guest_memory *m, gpa_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < m->n_regions; i++) {
		const struct memory_region *r = &m->regions[i];
		uint64_t offset = gpa.v - r->start.v;

		if (gpa.v >= r->start.v && offset < r->size && len && len <= r->size - offset)
			return r->host + offset;
	}
	return NULL;
}

int guest_memory_read(const struct guest_memory *m, gpa_t gpa, void *dst, size_t len)
{
	const void *src = guest_memory_at(m, gpa, len);

	if (!src)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int guest_memory_write(const struct guest_memory *m, gpa_t gpa, const void *src, size_t len)
{
	void *dst = guest_memory_at(m, gpa, len);

	if (!dst)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}
