/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport.h"
#include "util.h"

#define NAME_SIZE sizeof(((struct target *)NULL)->found)

static bool name_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && !name[n] && n < NAME_SIZE && name[0] != '.' && name[0] != '-';
}

static int check_name(struct ctl *c, const char *name)
{
	if (name_valid(name))
		return 0;
	return ctl_error(c, CTL_USAGE, "usage",
			 "not a name of a VM: \"%.80s\" (letters, digits, . _ -; at most 64)",
			 name);
}

static int runtime_dir(struct ctl *c, char *buf, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n;

	if (geteuid() == 0)
		n = snprintf(buf, size, "/run/theseus");
	else if (dir && dir[0] == '/')
		n = snprintf(buf, size, "%s/theseus", dir);
	else
		return ctl_error(c, CTL_FAILED, "environment",
				 "XDG_RUNTIME_DIR is not set: no place for the VM's socket");
	if (n < 0 || (size_t)n >= size)
		return ctl_error(c, CTL_FAILED, "environment", "XDG_RUNTIME_DIR is too long");
	return 0;
}

int target_path(struct ctl *c, const char *name, const char *what, char *buf, size_t size)
{
	char dir[TARGET_PATH_MAX - 80];
	int n, r = runtime_dir(c, dir, sizeof(dir));

	if (r)
		return r;
	n = snprintf(buf, size, "%s/%s/%s", dir, name, what);
	if (n < 0 || (size_t)n >= size)
		return ctl_error(c, CTL_FAILED, "environment", "%s is too long", dir);
	return 0;
}

bool target_listens(struct ctl *c, const char *name)
{
	char path[TARGET_PATH_MAX];
	struct transport *t = NULL;

	if (target_path(c, name, "sock", path, sizeof(path)) || transport_open_unix(c, path, &t)) {
		ctl_error_clear(c);
		return false;
	}
	transport_close(t);
	return true;
}

void target_list_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

int target_list(struct ctl *c, char ***ret_names, size_t *ret_n)
{
	char dir[TARGET_PATH_MAX - 80];
	struct dirent **entries;
	char **names;
	size_t n = 0;
	int count, r = runtime_dir(c, dir, sizeof(dir));

	if (r)
		return r;
	count = scandir(dir, &entries, NULL, alphasort);
	if (count < 0 && errno != ENOENT)
		return ctl_error(c, CTL_FAILED, "system", "%s: %s", dir, strerror(errno));
	names = calloc(count > 0 ? (size_t)count : 1, sizeof(*names));
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;

		if (names && name_valid(name) && target_listens(c, name)) {
			names[n] = strdup(name);
			if (names[n])
				n++;
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	if (!names)
		return ctl_oom(c);
	*ret_names = names;
	*ret_n = n;
	return 0;
}

static int error_must_name(struct ctl *c, char **names, size_t n)
{
	CLEANUP_FREE char *list = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&list, &size);

	if (!f)
		return ctl_oom(c);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%s%s", i ? ", " : "", names[i]);
	if (fclose(f))
		return ctl_oom(c);
	return ctl_error(c, CTL_USAGE, "which-vm",
			 n ? "which VM? Name it with -n or THESEUS_VM; running: %s"
			   : "which VM? Name it with -n or THESEUS_VM; none runs%s",
			 list);
}

/* No VM was named: takes the only one for a command that reads. */
static int find_only(struct ctl *c, enum target_use use, struct target *t)
{
	char **names = NULL;
	size_t n = 0;
	int r = target_list(c, &names, &n);

	if (r)
		return r;
	if (use == TARGET_CHANGES || n > 1) {
		r = error_must_name(c, names, n);
	} else if (!n) {
		r = ctl_error(c, CTL_NO_VM, "no-such-vm",
			      "no VM runs (\"theseusctl -n NAME run\" starts one)");
	} else {
		(void)snprintf(t->found, sizeof(t->found), "%s", names[0]);
		t->name = t->found;
	}
	target_list_free(names, n);
	return r;
}

int target_resolve(struct ctl *c, enum target_use use, struct target *ret_target)
{
	struct target *t = ret_target;
	const char *name = c->name;
	int r;

	*t = (struct target){.kind = TARGET_SOCKET};
	if (!!c->name + !!c->socket + !!c->domain > 1)
		return ctl_error(c, CTL_USAGE, "usage",
				 "-n, --socket and --domain name a VM each: give one of them");
	if (c->connect && !c->domain)
		return ctl_error(c, CTL_USAGE, "usage", "--connect needs --domain");
	if (c->domain) {
		t->kind = TARGET_DOMAIN;
		t->name = c->domain;
		return 0;
	}
	if (c->socket) {
		t->name = c->socket;
		if (strlen(c->socket) >= sizeof(t->path))
			return ctl_error(c, CTL_USAGE, "usage", "--socket: the path is too long");
		(void)snprintf(t->path, sizeof(t->path), "%s", c->socket);
		return 0;
	}
	if (!name)
		name = getenv("THESEUS_VM");
	if (name && *name) {
		r = check_name(c, name);
		t->name = name;
	} else {
		r = find_only(c, use, t);
	}
	return r ? r : target_path(c, t->name, "sock", t->path, sizeof(t->path));
}

int target_new_name(struct ctl *c, const char **ret_name)
{
	const char *name = c->name ? c->name : getenv("THESEUS_VM");
	int r;

	if (c->socket || c->domain)
		return ctl_error(c, CTL_USAGE, "usage",
				 "%s starts a VM: it takes -n NAME, not --socket or --domain",
				 c->command->verb);
	if (!name || !*name)
		return ctl_error(c, CTL_USAGE, "which-vm",
				 "%s: give the VM a name with -n or THESEUS_VM", c->command->verb);
	r = check_name(c, name);
	if (!r)
		*ret_name = name;
	return r;
}
