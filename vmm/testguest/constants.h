/* SPDX-License-Identifier: MIT */
/* platform.h for the assembler; guest.c asserts that they agree. */
#ifndef TESTGUEST_CONSTANTS_H
#define TESTGUEST_CONSTANTS_H

#define PORT_COM1 0x3f8
#define PORT_EXIT 0xf4
#define CODE_POWEROFF 0x10
#define CODE_CRASH 0x12
#define CODE_OK 0x20
#define CODE_FAIL 0x21

#endif
