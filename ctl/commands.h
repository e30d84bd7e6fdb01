/* SPDX-License-Identifier: MIT */
/* The functions of the command table, by family. Contract: struct ctl_command. */
#ifndef THESEUS_CTL_COMMANDS_H
#define THESEUS_CTL_COMMANDS_H

#include "ctl.h"

int cmd_run(struct ctl *c, int argc, char **argv); /* run.c */

int cmd_ls(struct ctl *c, int argc, char **argv); /* vm.c */
int cmd_status(struct ctl *c, int argc, char **argv);
int cmd_stop(struct ctl *c, int argc, char **argv);
int cmd_kill(struct ctl *c, int argc, char **argv);
int cmd_metrics(struct ctl *c, int argc, char **argv);

int cmd_console(struct ctl *c, int argc, char **argv); /* console.c */
int cmd_log(struct ctl *c, int argc, char **argv);     /* log.c */

int cmd_cells(struct ctl *c, int argc, char **argv); /* cells.c */
int cmd_cell_show(struct ctl *c, int argc, char **argv);
int cmd_cell_deps(struct ctl *c, int argc, char **argv);
int cmd_tasks(struct ctl *c, int argc, char **argv); /* tasks.c */
int cmd_task_show(struct ctl *c, int argc, char **argv);
int cmd_cell_new(struct ctl *c, int argc, char **argv);     /* cell-new.c */
int cmd_cell_build(struct ctl *c, int argc, char **argv);   /* cell-build.c */
int cmd_cell_inspect(struct ctl *c, int argc, char **argv); /* cell-inspect.c */
int cmd_symbols(struct ctl *c, int argc, char **argv);      /* symbols.c */

int cmd_push(struct ctl *c, int argc, char **argv); /* swap.c */
int cmd_swap_cell(struct ctl *c, int argc, char **argv);

int cmd_exec(struct ctl *c, int argc, char **argv);      /* exec.c */
int cmd_bench(struct ctl *c, int argc, char **argv);     /* bench.c */
int cmd_demo_swap(struct ctl *c, int argc, char **argv); /* demo.c */

#endif
