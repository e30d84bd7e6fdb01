/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "theseus/gate.h"

#define MEMORY_MAX (GATE_PHYS_MAX - (MEMORY_HIGH_START - MEMORY_LOW_MAX))

int load_memory(struct guest_memory *m, const struct machine_config *config, struct failure *f)
{
	return guest_memory_init(m, config->memory, MEMORY_MAX, f);
}

static int open_file(const char *path, struct failure *f)
{
	/* not blocking: a FIFO is refused later, it must not be waited for now */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? failure(f, -errno, "cannot open %s: %s", path, strerror(errno)) : fd;
}

static int load_guest(const struct guest_memory *m, const char *path, struct boot_image *ret_image,
		      struct failure *f)
{
	int fd = open_file(path, f), r;

	if (fd < 0)
		return fd;
	r = boot_load_guest(m, fd, path, ret_image, f);
	(void)close(fd);
	return r;
}

static int load_bundle(const struct guest_memory *m, const char *path,
		       const struct boot_image *image, struct boot_range *ret_range,
		       struct failure *f)
{
	int fd, r;

	*ret_range = (struct boot_range){0};
	if (!path)
		return 0;
	fd = open_file(path, f);
	if (fd < 0)
		return fd;
	r = boot_load_bundle(m, fd, path, image, ret_range, f);
	(void)close(fd);
	return r;
}

int load_cmdline(const struct machine_config *config, char *out, size_t size)
{
	return snprintf(out, size, "cpus=%u%s%s", config->cpus, *config->cmdline ? " " : "",
			config->cmdline);
}

int load_files(const struct guest_memory *m, const struct machine_config *config,
	       struct loaded *ret_loaded, struct failure *f)
{
	char cmdline[BOOT_CMDLINE_MAX + 64];
	struct boot_range bundle;
	struct boot_image image;
	int r;

	r = load_guest(m, config->guest, &image, f);
	if (r < 0)
		return r;
	r = load_bundle(m, config->bundle, &image, &bundle, f);
	if (r < 0)
		return r;
	(void)load_cmdline(config, cmdline, sizeof(cmdline));
	ret_loaded->entry = image.entry;
	return boot_write_records(m, &bundle, cmdline, &ret_loaded->start_info, f);
}
