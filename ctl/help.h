/* SPDX-License-Identifier: MIT */
/* The help, made from the command table. */
#ifndef THESEUS_CTL_HELP_H
#define THESEUS_CTL_HELP_H

#include "ctl.h"

/* The tool's help when @cmd is NULL, else the command's. To stdout. */
void help_print(const struct ctl *c, const struct ctl_command *cmd);
void help_version(const struct ctl *c);

int cmd_help(struct ctl *c, int argc, char **argv);

#endif
