/*
 * Life after fork. A Go runtime does not survive fork: in the child its
 * threads are missing, and calls hang at the first garbage collection. So a
 * child never enters the Go code that it inherited. It loads a second copy of
 * this library, which brings a runtime of its own, and every function of the
 * first copy, whose addresses the program took before the fork, forwards to
 * the second.
 *
 * Two things tell a child that it is one. The state below lies in a page that
 * the kernel gives to children filled with zeroes, so that it is right from
 * the first instruction, whatever fork was made with and whichever other fork
 * handlers run before ours. Where the kernel cannot do that, a fork handler
 * clears it.
 *
 * A grandchild's state is zeroed in turn: it forgets the copy that its parent
 * loaded, which is as dead as the first one, and loads its own. The copies
 * never know that they are copies, for programs only ever call the first.
 *
 * Children that vfork or posix_spawn made share the parent's memory and call
 * exec; they see no difference.
 */
#define _GNU_SOURCE

#include "stubs.h"

#if !defined(__linux__) || defined(PERILUNE_NO_FORK_GUARD)

int perilune_forked(void) { return 0; }
const struct perilune_heir *perilune_heir(int create) {
  (void)create;
  return NULL;
}

#else

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* RTLD_DEEPBIND is of no use to a library that the linker bound to itself
 * (-Bsymbolic, a version script), and keeps replacements of malloc and
 * sanitizers out; it is here for builds by other means. */
#ifdef PERILUNE_DEEPBIND
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#else
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL)
#endif

/* What a process must not inherit. All zeroes is the state of a child, and
 * zero is PTHREAD_MUTEX_INITIALIZER with glibc. */
struct state {
  int alive; /* the Go runtime of this copy lives in this process */
  pthread_mutex_t lock;
  _Atomic(const struct perilune_heir *) heir;
  struct perilune_heir lists; /* what heir points to */
};

static struct state unprotected = {.alive = 1, .lock = PTHREAD_MUTEX_INITIALIZER};
static struct state *state = &unprotected;

/* The file that this library was loaded from, opened then: by the time that a
 * child needs it, an upgrade may have replaced it, or the child may have
 * changed its root or lost its rights. A program that closes all descriptors
 * closes this one too, and may use its number for something else, so it is
 * checked before use, and the path is the fallback. */
static int self_fd = -1;
static struct stat self_stat;
static char *self_path;

/* How many copies this process and its ancestors loaded. */
static unsigned loads;

int perilune_forked(void) { return !state->alive; }

/*
 * When a thread ends that was in Go once, the runtime's destructor for it
 * enters Go again, by this pointer of runtime/cgo. The dead runtime must be
 * spared that.
 */
extern void (*x_crosscall2_ptr)(void (*)(void *), void *, int, size_t)
    __attribute__((weak));

static void in_child(void) {
  if (state->alive) memset(state, 0, sizeof *state);
  if (&x_crosscall2_ptr) x_crosscall2_ptr = NULL;
}

static void remember_self(void) {
  Dl_info info;
  if (!dladdr((void *)&remember_self, &info) || !info.dli_fname) return;
  if (!strncmp(info.dli_fname, "/proc/self/fd/", 14)) return; /* a copy */
  self_path = realpath(info.dli_fname, NULL);
  int fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  /* Away from the low numbers, which programs expect to get in order. */
  self_fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
  if (self_fd < 0)
    self_fd = fd;
  else
    close(fd);
  if (fstat(self_fd, &self_stat)) self_fd = -1;
}

__attribute__((constructor)) static void on_load(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct state *p = mmap(NULL, page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) {
#ifndef PERILUNE_NO_WIPEONFORK /* to test the handler */
    madvise(p, page, MADV_WIPEONFORK);
#endif
    *p = unprotected;
    state = p;
  }
  pthread_atfork(NULL, NULL, in_child);
  remember_self();
}

/* Opens the library's own file for reading. */
static int open_self(void) {
  struct stat st;
  if (self_fd >= 0 && !fstat(self_fd, &st) && st.st_dev == self_stat.st_dev &&
      st.st_ino == self_stat.st_ino)
    return fcntl(self_fd, F_DUPFD_CLOEXEC, 0);
  if (!self_path) return errno = ENOENT, -1;
  return open(self_path, O_RDONLY | O_CLOEXEC);
}

static int write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return -1;
    p += w;
    n -= (size_t)w;
  }
  return 0;
}

static int copy_self_to(int fd) {
  struct stat st;
  int self = open_self(), result = -1;
  if (self < 0) return -1;
  if (!fstat(self, &st) && st.st_size > 0) {
    size_t n = (size_t)st.st_size;
    void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, self, 0);
    if (p != MAP_FAILED) {
      result = write_all(fd, p, n);
      munmap(p, n);
    }
  }
  int e = errno;
  close(self);
  errno = e;
  return result;
}

/* Loads the file open at fd by a name that no copy was loaded by before, for
 * the loader would answer with that copy: one more slash each time. */
static void *load_fd(int fd) {
  char path[512] = "/proc/self/fd/";
  size_t n = strlen(path), slashes = loads++ % 400;
  memset(path + n, '/', slashes);
  snprintf(path + n + slashes, sizeof path - n - slashes, "%d", fd);
  return dlopen(path, LOAD_FLAGS);
}

/* The usual way: a copy in memory. */
static void *load_from_memory(void) {
#ifdef PERILUNE_NO_MEMFD /* to test the other way */
  return NULL;
#endif
  int fd = memfd_create("libperilune", MFD_CLOEXEC | MFD_EXEC);
  if (fd < 0) fd = memfd_create("libperilune", MFD_CLOEXEC);
  if (fd < 0) return NULL;
  void *handle = copy_self_to(fd) ? NULL : load_fd(fd);
  close(fd);
  return handle;
}

/* Where /proc is missing or memory may not be executed: a file that is gone as
 * soon as it is loaded. */
static void *load_from_file(void) {
  const char *dir = secure_getenv("TMPDIR");
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/perilune-XXXXXX",
                   dir && *dir == '/' ? dir : "/tmp");
  if (n < 0 || n >= (int)sizeof path) return NULL;
  int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) return NULL;
  void *handle = copy_self_to(fd) ? NULL : dlopen(path, LOAD_FLAGS);
  unlink(path);
  close(fd);
  return handle;
}

/* Loads a copy and finds its function lists. */
static int load_copy(struct perilune_heir *heir) {
  void *handle = load_from_memory();
  if (!handle) handle = load_from_file();
  CK_C_GetInterface get =
      handle ? (CK_C_GetInterface)dlsym(handle, "C_GetInterface") : NULL;
  CK_CA_GetFunctionList get_vendor =
      handle ? (CK_CA_GetFunctionList)dlsym(handle, "CA_GetFunctionList") : NULL;
  CK_VERSION version = {3, 2};
  CK_INTERFACE_PTR it = NULL;
  if (get && get_vendor && get(NULL, &version, &it, 0) == CKR_OK &&
      get_vendor(&heir->vendor) == CKR_OK) {
    heir->standard = it->pFunctionList;
    return 1;
  }
  const char *why = dlerror();
  fprintf(stderr,
          "perilune: cannot load a fresh copy of the library after fork: %s\n",
          why ? why : strerror(errno));
  return 0;
}

const struct perilune_heir *perilune_heir(int create) {
  struct state *s = state;
  const struct perilune_heir *heir = atomic_load(&s->heir);
  if (heir || !create) return heir;
  pthread_mutex_lock(&s->lock);
  heir = atomic_load(&s->heir);
  if (!heir && load_copy(&s->lists)) {
    heir = &s->lists;
    atomic_store(&s->heir, heir);
  }
  pthread_mutex_unlock(&s->lock);
  return heir;
}

#endif
