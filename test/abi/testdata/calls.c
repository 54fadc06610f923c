/* Measures what calls cost, in nanoseconds of the thread's own time: the least
 * of several rounds, for the machine may have other things to do.
 *
 *   calls MODULE COUNT
 */
#include "common.h"

static CK_FUNCTION_LIST_3_2_PTR f;
static CK_SESSION_HANDLE s;
static CK_BYTE in[64], out[128];
static CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};

static void not_parallel(void) { f->C_GetFunctionStatus(s); }
static void random_0(void) { f->C_GenerateRandom(s, in, 0); }
static void digest(void) {
  CK_ULONG n = sizeof out;
  f->C_DigestInit(s, &sha256);
  f->C_Digest(s, in, sizeof in, out, &n);
}
static void encrypt(void) {
  CK_BYTE iv[12] = {0};
  CK_GCM_PARAMS params = {iv, sizeof iv, 96, NULL, 0, 128};
  CK_MECHANISM gcm = {CKM_AES_GCM, &params, sizeof params};
  CK_ULONG n = sizeof out;
  f->C_EncryptInit(s, &gcm, 7);
  f->C_Encrypt(s, in, sizeof in, out, &n);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(const char *name, void (*call)(void), int count) {
  double best = 1e18;
  for (int round = 0; round < 7; round++) {
    double start = now();
    for (int i = 0; i < count; i++) call();
    double each = (now() - start) / count;
    if (each < best) best = each;
  }
  printf("%s %.1f\n", name, best);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int count = atoi(argv[2]);
  void *module = load(argv[1], RTLD_LOCAL);
  CK_INTERFACE_PTR it;
  OK(((CK_C_GetInterface)dlsym(module, "C_GetInterface"))(NULL, NULL, &it, 0));
  f = it->pFunctionList;
  measure("uninitialized", not_parallel, count);
  OK(f->C_Initialize(NULL));
  OK(f->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &s));
  OK(f->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "1234", 4));
  measure("status", not_parallel, count);
  measure("random-0", random_0, count);
  measure("digest-64", digest, count);
  measure("gcm-64", encrypt, count);
  OK(f->C_Finalize(NULL));
  return failures > 0;
}
