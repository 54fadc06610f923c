/* What nobody should do to a module, done to the one with the fake. */
#include "common.h"

static CK_FUNCTION_LIST_3_2_PTR f;
static CK_SESSION_HANDLE s;
static CK_BYTE data[64], out[256];
static CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
static void *const nowhere = (void *)16;

static void still_works(void) {
  CK_ULONG n = sizeof out;
  OK(f->C_DigestInit(s, &sha256));
  OK(f->C_Digest(s, data, sizeof data, out, &n));
  CHECK(n == 32);
}

static void misbehave(const char *how) {
  EXPECT(f->C_SeedRandom(s, (CK_BYTE_PTR)how, strlen(how)), CKR_GENERAL_ERROR);
  still_works();
}

static void *misbehave_often(void *how) {
  for (int i = 0; i < 20; i++)
    EXPECT(f->C_SeedRandom(s, how, strlen(how)), CKR_GENERAL_ERROR);
  return NULL;
}

static void panics(void) {
  static char panic[] = "panic", nil[] = "nil";
  misbehave(panic);
  misbehave(nil);
  pthread_t t[8];
  for (int i = 0; i < 8; i++) CHECK(!pthread_create(&t[i], NULL, misbehave_often, i % 2 ? panic : nil));
  for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
  still_works();
}

static void wild_pointers(void) {
  CK_ULONG n = sizeof out;
  CK_MECHANISM wild = {CKM_AES_GCM, nowhere, sizeof(CK_GCM_PARAMS)};
  CK_GCM_PARAMS params = {nowhere, 12, 96, NULL, 0, 128};
  CK_MECHANISM inside = {CKM_AES_GCM, &params, sizeof params};
  CK_ATTRIBUTE attribute = {CKA_LABEL, nowhere, 5};
  CK_OBJECT_HANDLE h;
  EXPECT(f->C_GetInfo(nowhere), CKR_GENERAL_ERROR);
  EXPECT(f->C_DigestInit(s, nowhere), CKR_GENERAL_ERROR);
  EXPECT(f->C_EncryptInit(s, &wild, 7), CKR_GENERAL_ERROR);
  EXPECT(f->C_EncryptInit(s, &inside, 7), CKR_GENERAL_ERROR);
  EXPECT(f->C_CreateObject(s, nowhere, 1, &h), CKR_GENERAL_ERROR);
  EXPECT(f->C_CreateObject(s, &attribute, 1, &h), CKR_GENERAL_ERROR);
  EXPECT(f->C_Login(s, CKU_USER, nowhere, 4), CKR_GENERAL_ERROR);
  OK(f->C_DigestInit(s, &sha256));
  EXPECT(f->C_Digest(s, nowhere, 16, out, &n), CKR_GENERAL_ERROR);
  EXPECT(f->C_Digest(s, data, 16, nowhere, &n), CKR_GENERAL_ERROR);
  EXPECT(f->C_Digest(s, data, 16, out, nowhere), CKR_GENERAL_ERROR);
  OK(f->C_Digest(s, data, 16, out, &n));
  EXPECT(f->C_GenerateRandom(s, nowhere, 16), CKR_GENERAL_ERROR);
  still_works();
}

/* Lengths that say "as much as you like", and lengths that are none. */
static void absurd_lengths(void) {
  static const CK_ULONG lengths[] = {1UL << 31, 1UL << 40, ~0UL >> 1, ~0UL};
  CK_OBJECT_HANDLE h;
  for (int i = 0; i < 4; i++) {
    CK_ULONG n = lengths[i];
    OK(f->C_DigestInit(s, &sha256));
    OK(f->C_Digest(s, data, sizeof data, out, &n));
    CHECK(n == 32);
    CK_ATTRIBUTE attribute = {CKA_LABEL, data, lengths[i]};
    EXPECT(f->C_CreateObject(s, &attribute, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    EXPECT(f->C_CreateObject(s, &attribute, lengths[i], &h), CKR_ARGUMENTS_BAD);
    CK_MECHANISM m = {CKM_AES_GCM, data, lengths[i]};
    EXPECT(f->C_EncryptInit(s, &m, 7), CKR_MECHANISM_PARAM_INVALID);
  }
  OK(f->C_DigestInit(s, &sha256));
  EXPECT(f->C_Digest(s, data, ~0UL, out, NULL), CKR_ARGUMENTS_BAD);
  still_works();
}

static void *wait_for_event(void *result) {
  CK_SLOT_ID slot;
  *(CK_RV *)result = f->C_WaitForSlotEvent(0, &slot, NULL);
  return NULL;
}

static void finalize_while_waiting(void) {
  pthread_t t[4];
  CK_RV results[4];
  for (int i = 0; i < 4; i++) CHECK(!pthread_create(&t[i], NULL, wait_for_event, &results[i]));
  OK(f->C_Finalize(NULL));
  for (int i = 0; i < 4; i++) {
    pthread_join(t[i], NULL);
    EXPECT(results[i], CKR_CRYPTOKI_NOT_INITIALIZED);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  alarm(100);
  void *module = load(argv[1], RTLD_LOCAL);
  CK_INTERFACE_PTR it;
  OK(((CK_C_GetInterface)dlsym(module, "C_GetInterface"))(NULL, NULL, &it, 0));
  f = it->pFunctionList;
  OK(f->C_Initialize(NULL));
  EXPECT(f->C_OpenSession(1, CKF_RW_SESSION, NULL, NULL, &s), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
  OK(f->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &s));
  OK(f->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "1234", 4));
  panics();
  wild_pointers();
  absurd_lengths();
  finalize_while_waiting();
  return failures > 0;
}
