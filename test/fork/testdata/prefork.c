/*
 * A program that forks while it uses a PKCS#11 module, as servers do that load
 * the module in a master process and use it in workers.
 *
 *   prefork MODULE OPERATIONS [OPTION]...
 *
 * Every process checks that a module it inherited says "not initialized"
 * through every pointer that the parent took, initializes it, logs in, does
 * OPERATIONS operations, and finalizes it. It prints what went wrong and exits
 * with 1; a process that hangs is killed by its alarm, which its parent sees.
 *
 *   global     load the module with RTLD_GLOBAL
 *   early      fork before the parent initialized the module
 *   busy       fork while four threads of the parent are in the module
 *   living     fork while two threads initialize and finalize the module
 *   thread     fork from a thread that was in the module, which then ends
 *   racing     in the child, initialize from four threads at once
 *   raw        make the children by a system call, past all fork handlers; they
 *              only look
 *   daemon     the children close all descriptors and change directory
 *   unlinked   remove the module's file after loading it
 *   lost       with daemon and unlinked: there is no way left to initialize
 *   inherit    the children go on with their parent's session at once, which
 *              is what a library without a guard lets them do
 *   children=N how many there are; the first of them has children in turn
 *   alarm=N    the patience with a process, in seconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <perilune.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_UTF8CHAR so_pin[] = "so-pin-of-tests", user_pin[] = "1234";
static CK_UTF8CHAR label[33] = "prefork                         ";

static const char *module_path;
static long operations;
static int global, early, busy, living, from_thread, racing, raw, daemon_like, unlinked,
      lost, inherit;
static unsigned patience = 120;
static int children = 4;

static CK_FUNCTION_LIST_PTR f;       /* from C_GetFunctionList */
static CK_FUNCTION_LIST_3_0_PTR f30; /* from C_GetInterface */
static CK_FUNCTION_LIST_3_2_PTR f32;
static CK_CA_FUNCTION_LIST_PTR vendor; /* from CA_GetFunctionList */
static int depth; /* of this process: 0 is the first */
static CK_SESSION_HANDLE first_session;
static CK_OBJECT_HANDLE first_key;

static void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "process %d, depth %d: ", (int)getpid(), depth);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  _exit(1);
}

static void expect(CK_RV rv, CK_RV want, const char *what) {
  if (rv != want) fail("%s answers 0x%lx, not 0x%lx", what, rv, want);
}

static void ok(CK_RV rv, const char *what) { expect(rv, CKR_OK, what); }

#ifdef LINKED
static void *symbol(const char *name) { return dlsym(RTLD_DEFAULT, name); }
static void load(void) {
  CK_FUNCTION_LIST_PTR list; /* so that the linker keeps the library */
  ok(C_GetFunctionList(&list), "C_GetFunctionList");
}
#else
static void *module;
static void *symbol(const char *name) { return dlsym(module, name); }
static void load(void) {
  module = dlopen(module_path, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL));
  if (!module) fail("dlopen: %s", dlerror());
}
#endif

static void take_pointers(void) {
  CK_VERSION v30 = {3, 0}, v32 = {3, 2};
  CK_INTERFACE_PTR it;
  load();
  CK_C_GetFunctionList list = (CK_C_GetFunctionList)symbol("C_GetFunctionList");
  CK_C_GetInterface get = (CK_C_GetInterface)symbol("C_GetInterface");
  CK_CA_GetFunctionList get_vendor =
      (CK_CA_GetFunctionList)symbol("CA_GetFunctionList");
  if (!list || !get || !get_vendor) fail("the module lacks its functions");
  ok(list(&f), "C_GetFunctionList");
  ok(get((CK_UTF8CHAR_PTR) "PKCS 11", &v30, &it, 0), "C_GetInterface 3.0");
  f30 = it->pFunctionList;
  ok(get((CK_UTF8CHAR_PTR) "PKCS 11", &v32, &it, 0), "C_GetInterface 3.2");
  f32 = it->pFunctionList;
  ok(get_vendor(&vendor), "CA_GetFunctionList");
}

typedef CK_RV (*any)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                     uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                     uintptr_t, uintptr_t);

#define ANY(function) ((any)(void (*)(void))(function))

static void not_initialized(const char *name, any function) {
  if (!strcmp(name, "C_Initialize") || !strcmp(name, "C_GetFunctionList") ||
      !strcmp(name, "C_GetInterface") || !strcmp(name, "C_GetInterfaceList") ||
      !strcmp(name, "CA_GetFunctionList"))
    return;
  expect(function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), CKR_CRYPTOKI_NOT_INITIALIZED,
         name);
}

/* Every function, by every way there is to it. */
static void all_not_initialized(void) {
#define CHECK_2_40(name, params, args) not_initialized(#name, ANY(f->name));
#define CHECK_3_0(name, params, args) not_initialized(#name, ANY(f30->name));
#define CHECK_3_2(name, params, args) not_initialized(#name, ANY(f32->name));
#define CHECK_VENDOR(name, params, args) not_initialized(#name, ANY(vendor->name));
#define CHECK_SYMBOL(name, params, args) \
  not_initialized(#name, ANY(symbol(#name)));
  CK_FUNCTIONS_2_40(CHECK_2_40)
  CK_FUNCTIONS_2_40(CHECK_3_0)
  CK_FUNCTIONS_3_0(CHECK_3_0)
  CK_FUNCTIONS_ALL(CHECK_3_2)
  CK_FUNCTIONS_VENDOR(CHECK_VENDOR)
  CK_FUNCTIONS_ALL(CHECK_SYMBOL)
  CK_FUNCTIONS_VENDOR(CHECK_SYMBOL)
}

/* The slot of our token, made if there is none. */
static CK_SLOT_ID token(void) {
  CK_SLOT_ID slots[16];
  CK_ULONG n = 16;
  CK_TOKEN_INFO info;
  ok(f->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
  for (CK_ULONG i = 0; i < n; i++) {
    ok(f->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
    if (info.flags & CKF_USER_PIN_INITIALIZED) return slots[i];
  }
  if (n == 0) fail("no slot");
  CK_SESSION_HANDLE s;
  ok(f->C_InitToken(slots[n - 1], so_pin, sizeof so_pin - 1, label), "C_InitToken");
  ok(f->C_OpenSession(slots[n - 1], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), "C_OpenSession");
  ok(f->C_Login(s, CKU_SO, so_pin, sizeof so_pin - 1), "C_Login of the SO");
  ok(f->C_InitPIN(s, user_pin, sizeof user_pin - 1), "C_InitPIN");
  ok(f->C_Logout(s), "C_Logout");
  ok(f->C_CloseSession(s), "C_CloseSession");
  return slots[n - 1];
}

static CK_SESSION_HANDLE open_session(void) {
  CK_SESSION_HANDLE s;
  ok(f->C_OpenSession(token(), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), "C_OpenSession");
  return s;
}

static CK_SESSION_HANDLE login(void) {
  CK_SESSION_HANDLE s = open_session();
  CK_RV rv = f->C_Login(s, CKU_USER, user_pin, sizeof user_pin - 1);
  if (rv != CKR_USER_ALREADY_LOGGED_IN) ok(rv, "C_Login");
  return s;
}

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s) {
  CK_BBOOL no = CK_FALSE, yes = CK_TRUE;
  CK_ULONG length = 32;
  CK_ATTRIBUTE template[] = {
      {CKA_TOKEN, &no, 1},      {CKA_VALUE_LEN, &length, sizeof length},
      {CKA_ENCRYPT, &yes, 1}, {CKA_DECRYPT, &yes, 1},
  };
  CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
  CK_OBJECT_HANDLE key;
  ok(f->C_GenerateKey(s, &generate, template, 4, &key), "C_GenerateKey");
  return key;
}

static void digest(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n) {
  CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
  CK_BYTE out[32];
  CK_ULONG size = sizeof out;
  ok(f->C_DigestInit(s, &sha256), "C_DigestInit");
  ok(f->C_Digest(s, data, n, out, &size), "C_Digest");
  if (size != 32) fail("a digest of %lu bytes", size);
}

static void encrypt(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_BYTE *data, CK_ULONG n) {
  CK_BYTE iv[12] = {1}, out[512];
  CK_GCM_PARAMS params = {iv, sizeof iv, 96, NULL, 0, 128};
  CK_MECHANISM gcm = {CKM_AES_GCM, &params, sizeof params};
  CK_ULONG size = sizeof out;
  ok(f->C_EncryptInit(s, &gcm, key), "C_EncryptInit");
  ok(f->C_Encrypt(s, data, n, out, &size), "C_Encrypt");
  if (size != n + 16) fail("a ciphertext of %lu bytes", size);
}

/* A mixture, with buffers that grow so that the collector has work. */
static void work(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, long count) {
  CK_BYTE data[256] = {0};
  for (long i = 0; i < count; i++) {
    CK_ULONG n = 16 + (CK_ULONG)i % 240;
    switch (i % 3) {
      case 0:
        digest(s, data, n);
        break;
      case 1:
        encrypt(s, key, data, n);
        break;
      case 2:
        ok(f->C_GenerateRandom(s, data, n), "C_GenerateRandom");
    }
  }
}

static atomic_int stop, working;

static void *worker(void *unused) {
  (void)unused;
  CK_SESSION_HANDLE s = open_session();
  CK_OBJECT_HANDLE key = make_key(s);
  work(s, key, 100);
  for (working++; !stop;) work(s, key, 100);
  return NULL;
}

/* Whatever the others do, the answers are those of one of the two states. */
static void *live(void *unused) {
  (void)unused;
  for (working++; !stop;) {
    CK_RV rv = f->C_Initialize(NULL);
    if (rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) ok(rv, "C_Initialize");
    rv = f->C_Finalize(NULL);
    if (rv != CKR_CRYPTOKI_NOT_INITIALIZED) ok(rv, "C_Finalize");
  }
  return NULL;
}

static atomic_int initialized;

static void *initialize(void *unused) {
  (void)unused;
  CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
  CK_RV rv = f->C_Initialize(&args);
  if (rv == CKR_OK)
    initialized++;
  else
    expect(rv, CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize");
  return NULL;
}

static void race_to_initialize(void) {
  pthread_t t[4];
  initialized = 0;
  for (int i = 0; i < 4; i++)
    if (pthread_create(&t[i], NULL, initialize, NULL)) fail("pthread_create");
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  if (initialized != 1) fail("%d of 4 threads initialized the module", initialized);
}

static void wait_for(pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid) fail("waitpid");
  if (WIFSIGNALED(status))
    fail("process %d died of signal %d (%s)", (int)pid, WTERMSIG(status),
         strsignal(WTERMSIG(status)));
  if (WEXITSTATUS(status)) fail("process %d failed", (int)pid);
}

static pid_t start(int generations);

static void leave_like_a_daemon(void) {
  for (int fd = 3; fd < 1024; fd++) close(fd);
  if (chdir("/")) fail("chdir");
}

static void child(int generations) {
  depth++;
  alarm(patience);
  if (inherit) {
    work(first_session, first_key, operations);
    return;
  }
  all_not_initialized();
  if (raw) return;
  if (daemon_like) leave_like_a_daemon();
  if (lost) {
    expect(f->C_Initialize(NULL), CKR_GENERAL_ERROR, "C_Initialize");
    all_not_initialized();
    return;
  }

  if (generations > 0) wait_for(start(generations - 1));
  if (racing)
    race_to_initialize();
  else
    ok(f->C_Initialize(NULL), "C_Initialize");
  expect(f32->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize again");
  CK_APPLICATION_ID id;
  CK_RV rv = vendor->CA_GetApplicationID(&id); /* the fake does not know it */
  if (rv != CKR_FUNCTION_NOT_SUPPORTED) ok(rv, "CA_GetApplicationID");
  CK_SESSION_HANDLE s = login();
  CK_OBJECT_HANDLE key = make_key(s);
  work(s, key, operations);
  if (generations > 0) {
    wait_for(start(generations - 1));
    work(s, key, 1000);
  }
  ok(f->C_Finalize(NULL), "C_Finalize");
  all_not_initialized();
  ok(f30->C_Initialize(NULL), "C_Initialize after C_Finalize");
  ok(f32->C_Finalize(NULL), "C_Finalize after that");
}

static pid_t start(int generations) {
  fflush(NULL);
  pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return pid;
  child(generations);
  if (raw) _exit(0);
  exit(0);
}

static void *join_and_exit(void *thread) {
  pthread_join(*(pthread_t *)thread, NULL);
  exit(0);
}

/* In the child this thread ends, and what the runtimes left to be done then is
 * done, before another ends the process. */
static void *fork_here(void *result) {
  static pthread_t self;
  pthread_t other;
  CK_SESSION_HANDLE s = login();
  work(s, make_key(s), 100);
  pid_t pid = fork();
  if (pid == 0) {
    child(0);
    self = pthread_self();
    if (pthread_create(&other, NULL, join_and_exit, &self)) fail("pthread_create");
  }
  *(pid_t *)result = pid;
  return NULL;
}

static void fork_from_thread(void) {
  pthread_t t;
  pid_t pid = -1;
  if (pthread_create(&t, NULL, fork_here, &pid)) fail("pthread_create");
  pthread_join(t, NULL);
  if (pid < 0) fail("fork");
  wait_for(pid);
}

static void fork_all(void) {
  enum { AT_ONCE = 4 };
  pid_t pids[AT_ONCE];
  for (int i = 0; i < children; i++) {
    if (i >= AT_ONCE) wait_for(pids[i % AT_ONCE]);
    pids[i % AT_ONCE] = start(i == 0 ? 2 : 0);
  }
  for (int i = 0; i < children && i < AT_ONCE; i++) wait_for(pids[i]);
}

static void option(const char *s) {
  static const struct {
    const char *name;
    int *flag;
  } flags[] = {
      {"global", &global},    {"early", &early},         {"busy", &busy},
      {"living", &living},
      {"thread", &from_thread}, {"racing", &racing},       {"raw", &raw},
      {"daemon", &daemon_like}, {"unlinked", &unlinked}, {"lost", &lost},
      {"inherit", &inherit},
  };
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if (!strcmp(s, flags[i].name)) {
      *flags[i].flag = 1;
      return;
    }
  if (!strncmp(s, "children=", 9))
    children = atoi(s + 9);
  else if (!strncmp(s, "alarm=", 6))
    patience = (unsigned)atoi(s + 6);
  else
    fail("unknown option %s", s);
}

int main(int argc, char **argv) {
  if (argc < 3) fail("usage: prefork MODULE OPERATIONS [OPTION]...");
  module_path = argv[1];
  operations = atol(argv[2]);
  for (int i = 3; i < argc; i++) option(argv[i]);
  alarm(2 * patience); /* to see the children's end */

  take_pointers();
  if (unlinked && unlink(module_path)) fail("unlink");
  if (early) {
    wait_for(start(0)); /* makes the token, while nobody else is there */
    fork_all();
  }
  ok(f->C_Initialize(NULL), "C_Initialize");
  CK_SESSION_HANDLE s = first_session = login();
  CK_OBJECT_HANDLE key = first_key = make_key(s);
  work(s, key, 1000);

  pthread_t threads[4];
  int n = busy ? 4 : living ? 2 : 0;
  if (living) ok(f->C_Finalize(NULL), "C_Finalize");
  for (int i = 0; i < n; i++)
    if (pthread_create(&threads[i], NULL, living ? live : worker, NULL)) fail("pthread_create");
  while (working < n) sched_yield();

  if (from_thread)
    fork_from_thread();
  else if (!early)
    fork_all();

  stop = 1;
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  if (living) {
    ok(f->C_Initialize(NULL), "C_Initialize");
    key = make_key(s = login());
  }
  work(s, key, 1000);
  ok(f->C_Finalize(NULL), "C_Finalize");
  return 0;
}
