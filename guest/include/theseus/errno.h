/* SPDX-License-Identifier: MIT */
/*
 * Error numbers of the guest, with the values that Linux uses, so that code built for the
 * host by unit tests agrees. Functions return them negated.
 */
#ifndef THESEUS_ERRNO_H
#define THESEUS_ERRNO_H

#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM 1
#define ENOENT 2
#define EIO 5
#define ENXIO 6
#define E2BIG 7
#define ENOEXEC 8
#define EBADF 9
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define EFBIG 27
#define ENOSPC 28
#define EPIPE 32
#define EDOM 33
#define ERANGE 34
#define EDEADLK 35
#define ENAMETOOLONG 36
#define ENOLCK 37
#define ENOSYS 38
#define ENOTEMPTY 39
#define EPROTO 71
#define EBADMSG 74
#define EOVERFLOW 75
#define EMSGSIZE 90
#define EOPNOTSUPP 95
#define ETIMEDOUT 110
#define EALREADY 114
#define ESTALE 116
#define ECANCELED 125
#endif

/*
 * A wait was broken off because the code that called it was replaced: return it unchanged,
 * at once, without touching the cell's state. The restart stub calls the new code.
 */
#define ERESTART_CELL 512

#endif
