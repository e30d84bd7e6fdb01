/* SPDX-License-Identifier: MIT */
/*
 * what: a member of a struct written under the lock of other members
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: writing variable 'lines' requires holding spinlock 'serial_role'
 */
#include <theseus/spinlock.h>

SPINLOCK_ROLE(records_role);
SPINLOCK_ROLE(serial_role);

struct log {
	struct spinlock records, serial;
	uint64_t seq GUARDED_BY(records_role);
	uint64_t lines GUARDED_BY(serial_role);
};

void f(struct log *log);
void f(struct log *log)
{
	spin_lock_as(&log->records, records_role);
	log->seq++;
#ifdef WRONG
	log->lines++;
	spin_unlock_as(&log->records, records_role);
#else
	spin_unlock_as(&log->records, records_role);
	spin_lock_as(&log->serial, serial_role);
	log->lines++;
	spin_unlock_as(&log->serial, serial_role);
#endif
}
