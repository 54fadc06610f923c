/* More threads than cores and than the runtime's processors at first, in
 * calls, and in the beginning and the end of the library's life. */
#include "common.h"

enum { THREADS = 100, ROUNDS = 500 };

static CK_FUNCTION_LIST_PTR f;
static pthread_barrier_t together;

static void *call(void *unused) {
  (void)unused;
  CK_SESSION_HANDLE s;
  CK_BYTE out[32];
  CK_ULONG n;
  CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
  pthread_barrier_wait(&together);
  OK(f->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &s));
  for (int i = 0; i < ROUNDS; i++) {
    n = sizeof out;
    OK(f->C_DigestInit(s, &sha256));
    OK(f->C_Digest(s, out, sizeof out, out, &n));
    OK(f->C_GenerateRandom(s, out, sizeof out));
  }
  return NULL;
}

/* Whatever the others do, answers are those of one of the two states. */
static void *live(void *unused) {
  (void)unused;
  CK_INFO info;
  pthread_barrier_wait(&together);
  for (int i = 0; i < ROUNDS; i++) {
    CK_RV rv = f->C_Initialize(NULL);
    if (rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) OK(rv);
    rv = f->C_GetInfo(&info);
    if (rv != CKR_CRYPTOKI_NOT_INITIALIZED) OK(rv);
    rv = f->C_Finalize(NULL);
    if (rv != CKR_CRYPTOKI_NOT_INITIALIZED) OK(rv);
  }
  return NULL;
}

static void run(void *(*body)(void *), int threads) {
  pthread_t t[THREADS];
  pthread_barrier_init(&together, NULL, (unsigned)threads);
  for (int i = 0; i < threads; i++) CHECK(!pthread_create(&t[i], NULL, body, NULL));
  for (int i = 0; i < threads; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&together);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  alarm(300);
  f = functions(load(argv[1], RTLD_LOCAL));
  OK(f->C_Initialize(NULL));
  run(call, THREADS);
  OK(f->C_Finalize(NULL));
  run(live, 8);
  return failures > 0;
}
