/* SPDX-License-Identifier: MIT */
/* tasks, task show */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "render.h"
#include "util.h"

/* What a guest may answer with: each holds some of its tasks. */
#define ANSWERS_MAX 1024

struct task_list {
	Theseus__Response *answers[ANSWERS_MAX];
	size_t n_answers;
	const Theseus__TaskRow **rows; /* in the answers */
	size_t n;
};

static void task_list_free(struct task_list **list)
{
	if (!*list)
		return;
	for (size_t i = 0; i < (*list)->n_answers; i++)
		theseus__response__free_unpacked((*list)->answers[i], NULL);
	free((*list)->rows);
	free(*list);
}

static int ask(struct client *cl, const Theseus__TasksGet *get, Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;

	req.body_case = THESEUS__REQUEST__BODY_TASKS;
	req.tasks = (Theseus__TasksGet *)(uintptr_t)get;
	return client_call(cl, &req, 0, THESEUS__RESPONSE__BODY_TASKS, ret_response);
}

/* Takes @answer over. Result: 0, -ENOMEM. */
static int add_answer(struct task_list *list, Theseus__Response *answer)
{
	const Theseus__TasksReply *reply = answer->tasks;
	const Theseus__TaskRow **rows;

	list->answers[list->n_answers++] = answer;
	if (reply->n_tasks == 0)
		return 0;
	rows = reallocarray(list->rows, list->n + reply->n_tasks, sizeof(const Theseus__TaskRow *));
	if (!rows)
		return -ENOMEM;
	list->rows = rows;
	for (size_t i = 0; i < reply->n_tasks; i++)
		rows[list->n++] = reply->tasks[i];
	return 0;
}

/* All tasks, or those that are called @name ("" = all). Result: exit status. */
static int get_tasks(struct client *cl, const char *name, struct task_list **ret_list)
{
	__attribute__((cleanup(task_list_free))) struct task_list *list = calloc(1, sizeof(*list));
	Theseus__TasksGet get;
	Theseus__Response *answer = NULL;
	int r;

	if (!list) {
		(void)client_fail(cl, -ENOMEM, 0);
		return CTL_FAILED;
	}
	theseus__tasks_get__init(&get);
	get.name = (char *)(uintptr_t)name;
	do {
		r = ask(cl, &get, &answer);
		if (r)
			return r;
		r = add_answer(list, answer);
		/* a guest that does not come to an end is wrong */
		if (!r && answer->tasks->next &&
		    (answer->tasks->next <= get.from || list->n_answers == ANSWERS_MAX))
			r = -EPROTO;
		if (r) {
			(void)client_fail(cl, r, 0);
			return CTL_FAILED;
		}
		get.from = answer->tasks->next;
	} while (get.from);
	*ret_list = list;
	list = NULL;
	return 0;
}

static int open_reading(struct ctl *c, struct target *target, struct client **ret_client)
{
	int r = target_resolve(c, TARGET_READS, target);

	return r ? r : client_open(c, target, ret_client);
}

int cmd_tasks(struct ctl *c, int argc, char **argv)
{
	__attribute__((cleanup(task_list_free))) struct task_list *list = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct target target;
	int r = open_reading(c, &target, &cl);

	(void)argc;
	(void)argv;
	if (!r)
		r = get_tasks(cl, "", &list);
	if (!r)
		(c->json ? json_tasks : text_tasks)(c, list->rows, list->n);
	return r;
}

/* The id of the one task that is called @name. */
static int find_by_name(struct ctl *c, struct client *cl, const char *name, uint64_t *ret_id)
{
	__attribute__((cleanup(task_list_free))) struct task_list *list = NULL;
	int r = get_tasks(cl, name, &list);

	if (r)
		return r;
	if (list->n == 0)
		return ctl_error(c, CTL_FAILED, "no-such-task",
				 "no task is called \"%.80s\" (\"theseusctl tasks\" lists them)",
				 name);
	if (list->n > 1)
		return ctl_error(c, CTL_FAILED, "ambiguous-task",
				 "%zu tasks are called \"%.80s\": give an id, such as %#llx",
				 list->n, name, (unsigned long long)list->rows[0]->id);
	*ret_id = list->rows[0]->id;
	return 0;
}

/* An id as listed, or in decimal; names of tasks do not begin with a digit. */
static bool is_id(const char *s, uint64_t *ret_id)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret_id = strtoull(s, &end, 0);
	return !*end && !errno && *ret_id;
}

int cmd_task_show(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	Theseus__TasksGet get;
	struct target target;
	int r = open_reading(c, &target, &cl);

	(void)argc;
	theseus__tasks_get__init(&get);
	if (!r && !*argv[1])
		r = ctl_error(c, CTL_USAGE, "usage",
			      "task show needs the id or the name of a task");
	if (!r && !is_id(argv[1], &get.id))
		r = find_by_name(c, cl, argv[1], &get.id);
	if (!r)
		r = ask(cl, &get, &response);
	if (r)
		return r;
	if (response->tasks->n_tasks != 1)
		return client_fail(cl, -EPROTO, 0);
	(c->json ? json_task : text_task)(c, response->tasks->tasks[0]);
	return 0;
}
