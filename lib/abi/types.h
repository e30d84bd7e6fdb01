/* SPDX-License-Identifier: MIT */
/*
 * What makes two C types the same for two cells: a 64-bit hash of the whole type, and the
 * type as C text for messages. Read from the BTF that `gcc -gbtf` writes.
 *
 * What counts:
 * - integers by name, size and encoding; qualifiers; array sizes; pointers with what they
 *   point to, to any depth; cycles by reference to the place where the type came first;
 * - structs, unions and enums by tag, size, and per member name, bit offset, bit width, type
 *   (enums: name and value); an incomplete one by kind and tag only;
 * - functions by result and parameter types in order, and whether they are variadic.
 * What does not: parameter names; typedefs (uint64_t is unsigned long) - except that the
 * typedef of a type without a tag stands for the tag, or paddr_t would equal vaddr_t;
 * attributes of functions (noreturn, const, malloc); what else is in the unit, its order,
 * the optimisation level.
 */
#ifndef THESEUS_LIB_ABI_TYPES_H
#define THESEUS_LIB_ABI_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct btf;

#define ABI_DEPTH_MAX 200u /* nested types; deeper ones are refused */

/* Hash of type @id. Never 0. Result: 0, -EINVAL (@id or the BTF is broken), -ELOOP (too deep),
 * -ENOMEM. */
int abi_type_hash(const struct btf *btf, uint32_t id, uint64_t *ret_hash);

/* Appends "int (char *, size_t)" and the like: an abstract declarator. Result: as above. */
int abi_type_text(const struct btf *btf, uint32_t id, struct buf *out);

/*
 * Appends a struct with its members, "struct greeter_state { uint64_t calls; }", cut with
 * "..." after @max bytes; any other type as abi_type_text() does.
 */
int abi_type_text_full(const struct btf *btf, uint32_t id, size_t max, struct buf *out);

/* Strips typedefs and qualifiers. Result: type id, 0 for void or broken BTF. */
uint32_t abi_type_strip(const struct btf *btf, uint32_t id);

/*
 * The variable @name; if it is a pointer and @pointee, what it points to. Result: type id,
 * or 0 when there is none.
 */
uint32_t abi_variable_type(const struct btf *btf, const char *name, bool pointee);

/*
 * Looks through a struct, its members and arrays, but not behind pointers, for an address of
 * code: a pointer to a function, or to a struct for which @is_table says yes by its tag.
 * Appends the path of the first ("slots.run") to @ret_path. Result: 1 found, 0, -ENOMEM.
 */
int abi_type_find_code(const struct btf *btf, uint32_t id,
		       bool (*is_table)(const char *tag, void *arg), void *arg,
		       struct buf *ret_path);

/*
 * Whether a restart stub can stand before function type @id: at most six registers of
 * integer arguments, a signed integer of at most 64 bits as result, not variadic.
 */
bool abi_type_restartable(const struct btf *btf, uint32_t id);

#endif
