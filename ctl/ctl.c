/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "render.h"

/*
 * A socket that got the number of a standard stream which is closed would be written to in its
 * place. What stands there instead is opened the wrong way round: using it fails, as it should.
 */
static void reserve_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
	}
}

int ctl_main(int argc, char **argv)
{
	struct ctl c = {0};
	int words = 0, status;

	reserve_standard_streams();
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
	errno = 0;
	if ((fflush(stdout) || ferror(stdout)) && !status) {
		(void)fprintf(stderr, "theseusctl: cannot write all of it%s%s\n", errno ? ": " : "",
			      errno ? strerror(errno) : "");
		status = CTL_FAILED;
	}
	return status;
}
