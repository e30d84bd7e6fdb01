/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_CTL_EXEC_H
#define THESEUS_CTL_EXEC_H

#include "client.h"

/*
 * Runs @argv[0] with its arguments in the guest. Result: exit status; the response's body is
 * the ExecReply, whose own status is not looked at.
 */
int exec_run(struct client *cl, int argc, char **argv, uint64_t limit_ns,
	     Theseus__Response **ret_response);

#endif
