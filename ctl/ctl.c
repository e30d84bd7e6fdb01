/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "render.h"

int ctl_main(int argc, char **argv)
{
	struct ctl c = {0};
	int words = 0, status;

	status = ctl_parse(&c, argc, argv, &words);
	/* Also an error in the words before it is to be told as the caller reads it. */
	for (int i = 1; status && i < argc; i++)
		c.json |= !strcmp(argv[i], "--json");
	if (!status && c.command)
		status = c.command->fn(&c, words, argv);
	/* exec returns the status of what ran: no error of ours */
	if (status && c.error.status)
		(c.json ? json_error : text_error)(&c);
	ctl_error_clear(&c);
	if (fflush(stdout) && !status) {
		(void)fprintf(stderr, "theseusctl: cannot write: %s\n", strerror(errno));
		status = CTL_FAILED;
	}
	return status;
}
