/*
 * How long single calls take: C_EncryptInit and C_Encrypt of 64 bytes with
 * AES-256-GCM, a pair at a time, while the token holds many objects. The
 * script beside this file builds and runs it.
 *
 *   latency LIBRARY OBJECTS PAIRS
 *
 * Times are those of the wall, so the machine must have nothing else to do, or
 * let this go first: chrt -f 10 test/bench/latency/run. Reading the clock is
 * part of them; "clock" is that alone.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pkcs11.h"

static CK_FUNCTION_LIST_PTR p11;

static void must(const char *what, CK_RV rv) {
  if (rv == CKR_OK) return;
  fprintf(stderr, "%s: 0x%lx\n", what, (unsigned long)rv);
  exit(1);
}
#define MUST(call) must(#call, p11->call)

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s, CK_BBOOL *token, unsigned long number) {
  CK_BYTE value[32] = {0};
  char label[32];
  memcpy(value, &number, sizeof number);
  CK_ATTRIBUTE t[] = {
      {CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes},
      {CKA_TOKEN, token, sizeof *token},   {CKA_ENCRYPT, &yes, sizeof yes},
      {CKA_VALUE, value, sizeof value},    {CKA_ID, &number, sizeof number},
      {CKA_LABEL, label, (CK_ULONG)snprintf(label, sizeof label, "object %lu", number)},
  };
  CK_OBJECT_HANDLE key;
  MUST(C_CreateObject(s, t, sizeof t / sizeof *t, &key));
  return key;
}

static CK_SESSION_HANDLE log_in(void) {
  CK_SLOT_ID slots[8];
  CK_ULONG n = 8;
  CK_SESSION_HANDLE s;
  CK_UTF8CHAR label[32], *so = (CK_UTF8CHAR_PTR) "so pin", *user = (CK_UTF8CHAR_PTR) "user pin";
  memset(label, ' ', sizeof label);
  MUST(C_Initialize(NULL));
  MUST(C_GetSlotList(CK_TRUE, slots, &n));
  MUST(C_InitToken(slots[0], so, 6, label));
  n = 8;
  MUST(C_GetSlotList(CK_TRUE, slots, &n));
  MUST(C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
  MUST(C_Login(s, CKU_SO, so, 6));
  MUST(C_InitPIN(s, user, 8));
  MUST(C_Logout(s));
  MUST(C_Login(s, CKU_USER, user, 8));
  return s;
}

static CK_BYTE iv[12], text[64], out[80];

static void pair(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key) {
  CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = sizeof iv, .ulIvBits = 96, .ulTagBits = 128};
  CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof gcm};
  CK_ULONG n = sizeof out;
  MUST(C_EncryptInit(s, &m, key));
  MUST(C_Encrypt(s, text, sizeof text, out, &n));
}

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(const char *what, double *times, size_t n) {
  qsort(times, n, sizeof *times, rising);
  printf("%-22s p50 %7.0f  p99 %7.0f  p99.9 %7.0f  p99.99 %8.0f  max %10.0f ns\n", what, times[n / 2], times[n / 100 * 99],
         times[n / 1000 * 999], times[n / 10000 * 9999], times[n - 1]);
}

static void measure(const char *what, size_t n, double *times, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key) {
  for (size_t i = 0; i < n; i++) {
    double start = now();
    if (key) pair(s, key);
    times[i] = now() - start;
  }
  report(what, times, n);
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: latency LIBRARY OBJECTS PAIRS\n"), 2;
  unsigned long objects = strtoul(argv[2], NULL, 0), pairs = strtoul(argv[3], NULL, 0);
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  CK_C_GetFunctionList list = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  must("C_GetFunctionList", list(&p11));

  CK_SESSION_HANDLE s = log_in();
  CK_OBJECT_HANDLE key = make_key(s, &yes, 0);
  double *times = calloc(pairs, sizeof *times);
  for (unsigned long i = 0; i < 10000; i++) pair(s, key);
  unsigned long made = 0;
  for (int round = 0; round < 2; round++) {
    printf("%lu live objects, %lu pairs of calls\n", made + 1, pairs);
    measure("clock", pairs, times, s, 0);
    measure("a pair of calls", pairs, times, s, key);
    if (!round) /* session objects: what matters is that they are live */
      while (made < objects) make_key(s, &no, ++made);
  }
  MUST(C_Finalize(NULL));
  return 0;
}
