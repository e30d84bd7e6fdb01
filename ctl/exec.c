/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include <errno.h>

#include "commands.h"
#include "render.h"
#include "util.h"

int exec_run(struct client *cl, int argc, char **argv, uint64_t limit_ns,
	     Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Exec exec;
	uint8_t id[16];
	int r;

	theseus__exec__init(&exec);
	exec.command = argv[0];
	exec.n_args = (size_t)argc - 1;
	exec.args = argv + 1;
	req.time_limit_ns = limit_ns;
	req.body_case = THESEUS__REQUEST__BODY_EXEC;
	req.exec = &exec;
	r = client_new_id(cl, &req, id);
	if (r)
		return r;
	return client_call(cl, &req, limit_ns + 2 * NS_PER_SEC, THESEUS__RESPONSE__BODY_EXEC,
			   ret_response);
}

int cmd_exec(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	uint64_t limit_ns = CLIENT_LIMIT_NS;
	struct target target;
	int r = ctl_option_duration(c, "timeout", &limit_ns);

	if (!r)
		r = target_resolve(c, TARGET_READS, &target);
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r && limit_ns < cl->hello_limit_ns)
		cl->hello_limit_ns = limit_ns;
	if (!r)
		r = exec_run(cl, argc - 1, argv + 1, limit_ns, &response);
	if (r)
		return r;
	(c->json ? json_exec : text_exec)(c, response->exec);
	/* The command's own word; what does not fit an exit status is just a failure. */
	if (response->exec->status >= 0 && response->exec->status <= 255)
		return response->exec->status;
	return CTL_FAILED;
}
