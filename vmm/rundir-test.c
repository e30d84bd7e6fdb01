/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm.h"
#include "rundir.h"

static char base[] = "/tmp/theseus-rundir-XXXXXX";
static char name[RUNDIR_NAME_MAX + 1];
static struct failure f;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(name, sizeof(name), "rundir-test-%ld", (long)getpid());
	/* root's places are fixed; everybody else's follow the environment */
	return !mkdtemp(base) || setenv("XDG_RUNTIME_DIR", base, 1) ||
	       setenv("XDG_STATE_HOME", base, 1);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s /var/lib/theseus/%s", base, name);
	return system(command);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "A.b_c-9", "0"};
	static const char *const bad[] = {"",    ".",   "..",  ".a",       "-a",
					  "a/b", "a b", "a\n", "\xc3\xa4", "a;b"};
	char longest[RUNDIR_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(rundir_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rundir_name_ok(bad[i]));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(rundir_name_ok(longest));
	assert_true(rundir_name_ok(longest + 1));
}

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600;
}

static void test_claim(void **state)
{
	struct rundir d, second;
	struct stat st;

	(void)state;
	assert_int_equal(rundir_claim(&d, name, NULL, &f), 0);
	assert_true(is_socket(d.sock));
	assert_int_equal(stat(d.dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(rundir_claim(&second, name, NULL, &f), -EBUSY);
	assert_non_null(strstr(f.text, "runs already"));
	assert_true(is_socket(d.sock)); /* the refused one left the first's alone */
	rundir_release(&d);
	rundir_release(&d);
	assert_int_equal(stat(d.dir, &st), -1);
	assert_int_equal(rundir_claim(&d, name, NULL, &f), 0);
	rundir_release(&d);
}

/* One that was killed leaves everything behind, but the lock. */
static void test_takeover(void **state)
{
	struct rundir d;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(rundir_claim(&d, name, NULL, &f) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rundir_claim(&d, name, NULL, &f), 0);
	assert_true(is_socket(d.sock));
	rundir_release(&d);
}

static void test_other_socket(void **state)
{
	struct rundir d;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/elsewhere", base);
	assert_int_equal(rundir_claim(&d, name, path, &f), 0);
	assert_true(is_socket(path));
	rundir_release(&d);
	assert_int_equal(access(path, F_OK), -1);
	memset(path, 'x', 200);
	path[200] = '\0';
	assert_int_equal(rundir_claim(&d, name, path, &f), -ENAMETOOLONG);
	assert_non_null(strstr(f.text, "--socket"));
	assert_int_equal(rundir_claim(&d, name, "/nonexistent/sock", &f), -ENOENT);
	assert_int_equal(access(d.dir, F_OK), -1);
}

static void test_log_path(void **state)
{
	char path[PATH_MAX];
	struct stat st;

	(void)state;
	assert_int_equal(rundir_log_path(name, path, &f), 0);
	assert_string_equal(strrchr(path, '/'), "/vmm.log");
	*strrchr(path, '/') = '\0';
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),    cmocka_unit_test(test_claim),
		cmocka_unit_test(test_takeover), cmocka_unit_test(test_other_socket),
		cmocka_unit_test(test_log_path),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
