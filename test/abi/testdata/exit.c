/* Ends a process in the ways that programs do.
 *
 *   exit MODULE finalized|initialized|busy|late
 */
#include "common.h"

static CK_FUNCTION_LIST_PTR f;

static volatile int forever = 1;

static void *keep_busy(void *unused) {
  CK_INFO info;
  CK_ULONG n;
  while (forever) {
    CK_RV rv = f->C_GetInfo(&info);
    if (rv != CKR_CRYPTOKI_NOT_INITIALIZED) OK(rv);
    f->C_GetSlotList(CK_TRUE, NULL, &n);
  }
  return unused;
}

/* Some programs, and the handlers of some libraries, come back at the end. */
static void late(void) {
  CK_INFO info;
  OK(f->C_GetInfo(&info));
  OK(f->C_Finalize(NULL));
  EXPECT(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
  if (failures) _exit(1);
}

__attribute__((destructor)) static void later(void) {
  CK_INFO info;
  if (f && f->C_GetInfo(&info) != CKR_OK &&
      f->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED)
    _exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  alarm(60);
  const char *how = argv[2];
  if (!strcmp(how, "late")) atexit(late);
  f = functions(load(argv[1], RTLD_LOCAL));
  OK(f->C_Initialize(NULL));
  if (!strcmp(how, "finalized")) OK(f->C_Finalize(NULL));
  if (!strcmp(how, "busy")) {
    pthread_t t;
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&t, NULL, keep_busy, NULL));
  }
  return failures > 0;
}
