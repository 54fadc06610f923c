/*
 * Signals. Those of the process are the program's: one that a thread of Go's
 * handled would not wake the thread that waits for it. The master of nginx, which
 * sleeps in sigsuspend until a child has ended, slept for ever now and then.
 *
 * Go gives its threads the mask of the thread that loads the library. So that is
 * all signals while its runtime begins, which is when the loader calls the
 * constructors without a priority, Go's before those of C. What Go needs
 * itself (SIGURG, SIGPROF and faults) it lets through whatever the mask, and SIGCHLD
 * too, by a flag in a table of its runtime, which is cleared before that begins.
 * Where the table is not found, SIGCHLD stays as it was; test/abi tells.
 */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

static sigset_t callers;
static int held;

/* A row of runtime.sigtable. */
struct row {
  int32_t flags;
  const char *name;
  uint64_t length;
};

static const char child[] = "SIGCHLD: child status has changed";
enum { NOTIFY = 1, UNBLOCK = 1 << 7, IGNORE = 1 << 8 };

static int look(struct dl_phdr_info *info, size_t size, void *self) {
  (void)size;
  uintptr_t low = UINTPTR_MAX, high = 0, fixed = 0, fixed_end = 0, base = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    uintptr_t from = base + p->p_vaddr, to = from + p->p_memsz;
    if (p->p_type == PT_LOAD && from < low) low = from;
    if (p->p_type == PT_LOAD && to > high) high = to;
    if (p->p_type == PT_GNU_RELRO) fixed = from, fixed_end = to;
  }
  if ((uintptr_t)self < low || (uintptr_t)self >= high) return 0; /* not this library */
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || !(p->p_flags & PF_W)) continue;
    uintptr_t at = (base + p->p_vaddr + 7) & ~(uintptr_t)7, end = base + p->p_vaddr + p->p_filesz;
    for (; at + sizeof(struct row) <= end; at += 8) {
      struct row *r = (struct row *)at;
      uintptr_t name = (uintptr_t)r->name;
      if (r->flags == (NOTIFY | UNBLOCK | IGNORE) && r->length == sizeof child - 1 && name >= low &&
          name < high - sizeof child && !memcmp(r->name, child, sizeof child - 1) && (at < fixed || at >= fixed_end)) {
        r->flags &= ~UNBLOCK;
        return 1;
      }
    }
  }
  return 1;
}

__attribute__((constructor(101))) static void hold_signals(void) {
  sigset_t all;
  sigfillset(&all);
  held = !pthread_sigmask(SIG_BLOCK, &all, &callers);
  dl_iterate_phdr(look, (void *)(uintptr_t)&hold_signals);
}

__attribute__((constructor)) static void let_signals(void) {
  if (held) pthread_sigmask(SIG_SETMASK, &callers, NULL);
}
