/* SPDX-License-Identifier: MIT */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "/dev/kvm"
#define TSS_ADDRESS 0xfffbd000u /* three pages that VT-x without unrestricted guest borrows */

static int open_device(struct vm *vm, struct failure *f)
{
	int version;

	vm->kvm_fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0) {
		int e = errno;
		const char *way_out = "load the kvm modules or use --accel tcg";

		if (e == EACCES || e == EPERM)
			way_out = "join the group that owns it (usually kvm) or use --accel tcg";
		return failure(f, -e, "cannot open " DEVICE ": %s; %s", strerror(e), way_out);
	}
	version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return failure(f, -errno, DEVICE " is not KVM: %s; use --accel tcg",
			       strerror(errno));
	if (version != KVM_API_VERSION)
		return failure(f, -EPROTO,
			       DEVICE " does not speak KVM (API version %d, expected %d); "
				      "use --accel tcg",
			       version, KVM_API_VERSION);
	return 0;
}

static int check_extensions(struct vm *vm, struct failure *f)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
		{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
		{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
		{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
		{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return failure(f, -ENOTSUP,
				       DEVICE " lacks %s: the kernel is too old; use "
					      "--accel tcg",
				       needed[i].name);
	vm->tsc_deadline = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

int vm_open(struct vm *vm, struct failure *f)
{
	int r, size;

	*vm = (struct vm){.kvm_fd = -1, .vm_fd = -1};
	r = open_device(vm, f);
	if (!r)
		r = check_extensions(vm, f);
	if (r < 0)
		goto failed;
	do
		vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	while (vm->vm_fd < 0 && errno == EINTR);
	if (vm->vm_fd < 0) {
		r = failure(f, -errno, DEVICE " cannot create a VM: %s; use --accel tcg",
			    strerror(errno));
		goto failed;
	}
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run)) {
		r = failure(f, -EPROTO, DEVICE " gives no vCPU state size; use --accel tcg");
		goto failed;
	}
	vm->run_size = (size_t)size;
	return 0;
failed:
	vm_close(vm);
	return r;
}

void vm_close(struct vm *vm)
{
	if (vm->vm_fd >= 0)
		(void)close(vm->vm_fd);
	if (vm->kvm_fd >= 0)
		(void)close(vm->kvm_fd);
	vm->vm_fd = vm->kvm_fd = -1;
}

int vm_set_memory(struct vm *vm, const struct guest_memory *m, struct failure *f)
{
	for (unsigned int i = 0; i < m->n_regions; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = m->regions[i].start.v,
			.memory_size = m->regions[i].size,
			.userspace_addr = (uintptr_t)m->regions[i].host,
		};

		if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return failure(f, -errno, DEVICE " refuses %llu MiB of guest memory: %s",
				       (unsigned long long)slot.memory_size >> 20, strerror(errno));
	}
	if (ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
		return failure(f, -errno, DEVICE ": KVM_SET_TSS_ADDR: %s", strerror(errno));
	return 0;
}

int vm_create_irqchip(struct vm *vm, struct failure *f)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP};

	if (ioctl(vm->vm_fd, KVM_ENABLE_CAP, &cap) < 0)
		return failure(f, -errno, DEVICE ": no split irqchip: %s", strerror(errno));
	return 0;
}

int vm_supported_cpuid(struct vm *vm, struct cpuid_table *ret_table, struct failure *f)
{
	ret_table->nent = CPUID_ENTRIES_MAX;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, ret_table) < 0)
		return failure(f, -errno, DEVICE ": KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	return 0;
}

int vm_signal_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct vm *vm = ctx;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = data,
	};

	return ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
}
