/*
 * work MODULE sign|decrypt LABEL IN OUT
 *
 * What `make demo` does through the library on a machine without pkcs11-tool:
 * signs a file (ECDSA with SHA-256) or decrypts it (RSA-OAEP with SHA-256) with
 * the private key of that label on the first slot. The PIN is in the environment
 * variable CO.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11.h"

static void die(const char *what, CK_RV rv)
{
	fprintf(stderr, "%s: 0x%lx\n", what, (unsigned long)rv);
	exit(1);
}

#define MUST(call)                      \
	do {                            \
		CK_RV rv = (call);      \
		if (rv != CKR_OK)       \
			die(#call, rv); \
	} while (0)

static CK_FUNCTION_LIST_PTR load(const char *path)
{
	CK_FUNCTION_LIST_PTR p11;
	CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
	void *lib = dlopen(path, RTLD_NOW);

	if (lib == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&get = dlsym(lib, "C_GetFunctionList");
	if (get == NULL)
		die("no C_GetFunctionList", 0);
	MUST(get(&p11));
	return p11;
}

static CK_OBJECT_HANDLE private_key(CK_FUNCTION_LIST_PTR p11, CK_SESSION_HANDLE session, char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_OBJECT_HANDLE key;
	CK_ULONG n;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_LABEL, label, strlen(label)},
	};

	MUST(p11->C_FindObjectsInit(session, template, 2));
	MUST(p11->C_FindObjects(session, &key, 1, &n));
	MUST(p11->C_FindObjectsFinal(session));
	if (n == 0)
		die("there is no such key", CKR_KEY_HANDLE_INVALID);
	return key;
}

int main(int argc, char **argv)
{
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
	CK_MECHANISM sign = {CKM_ECDSA_SHA256, NULL, 0};
	CK_MECHANISM decrypt = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};
	CK_BYTE in[4096], out[4096];
	CK_ULONG in_len, out_len = sizeof out, slots = 1;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	CK_FUNCTION_LIST_PTR p11;
	char *pin = getenv("CO");
	FILE *f;

	if (argc != 6 || pin == NULL) {
		fprintf(stderr, "usage: CO=PIN work MODULE sign|decrypt LABEL IN OUT\n");
		return 2;
	}
	if ((f = fopen(argv[4], "rb")) == NULL) {
		perror(argv[4]);
		return 1;
	}
	in_len = fread(in, 1, sizeof in, f);
	fclose(f);

	p11 = load(argv[1]);
	MUST(p11->C_Initialize(NULL));
	MUST(p11->C_GetSlotList(CK_TRUE, &slot, &slots));
	MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
	MUST(p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
	key = private_key(p11, session, argv[3]);
	if (strcmp(argv[2], "sign") == 0) {
		MUST(p11->C_SignInit(session, &sign, key));
		MUST(p11->C_Sign(session, in, in_len, out, &out_len));
		printf("signed %lu bytes: a signature of %lu bytes\n", (unsigned long)in_len, (unsigned long)out_len);
	} else {
		MUST(p11->C_DecryptInit(session, &decrypt, key));
		MUST(p11->C_Decrypt(session, in, in_len, out, &out_len));
		printf("decrypted %lu bytes to %lu\n", (unsigned long)in_len, (unsigned long)out_len);
	}
	MUST(p11->C_Finalize(NULL));

	if ((f = fopen(argv[5], "wb")) == NULL || fwrite(out, 1, out_len, f) != out_len || fclose(f) != 0) {
		perror(argv[5]);
		return 1;
	}
	return 0;
}
