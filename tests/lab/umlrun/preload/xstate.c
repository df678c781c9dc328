/*
 * Debian's user-mode kernel knows 2696 octets of floating point state, up to
 * and with the protection keys. A processor with AMX has more, and the host
 * refuses to set anything but the whole (xstateregs_set in
 * arch/x86/kernel/fpu/regset.c). This hands it the whole: what the user-mode
 * kernel does not know is in its initial state.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	KNOWN = 2696,
	HEADER = 512, /* the XSAVE header, after the legacy area; first the components in use */
};
/* x87 to AVX-512, and the protection keys (bit 9). */
static const unsigned long long known_components = 0x2ff;

static char whole[1 << 16] __attribute__((aligned(64)));

static long set_known(long pid, const struct iovec *known)
{
	static size_t size;
	struct iovec out = { whole, sizeof whole };
	sigset_t all, before;
	long result;

	/* A signal may switch to another process of the guest. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	if (!size) {
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &out) == 0)
			size = out.iov_len;
		memset(whole, 0, sizeof whole);
	}
	if (size > known->iov_len) {
		memcpy(whole, known->iov_base, known->iov_len);
		*(unsigned long long *)(whole + HEADER) &= known_components;
		out.iov_len = size;
	} else {
		out = *known;
	}
	result = syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &out);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	long pid, address, data, peeked, result;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	address = va_arg(args, long);
	data = va_arg(args, long);
	va_end(args);
	if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE && ((struct iovec *)data)->iov_len == KNOWN)
		return set_known(pid, (struct iovec *)data);
	if (request < PTRACE_PEEKTEXT || request > PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, request, pid, address, data);
	/* The system call stores what it reads, the function returns it. */
	result = syscall(SYS_ptrace, request, pid, address, &peeked);
	return result < 0 ? result : peeked;
}
