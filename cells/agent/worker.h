/* SPDX-License-Identifier: MIT */
/* The services of this cell as they wake one another. */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <theseus/service.h>
#include <theseus/swap.h>

void agent_wake(void);
void agent_wake_exec(void);
void agent_wake_change(void);

struct service_next agent_exec_step(void);
struct service_next agent_change_step(void);

/* swap_start() with this cell as the watcher. */
int agent_swap_start(uint64_t id, const struct swap_options *options) MUST_USE;

#endif
