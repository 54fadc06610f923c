/*
 * fork-sign MODULE [TOKEN-LABEL]: a server in small that forks its workers, as
 * nginx and Apache do: the parent initialises the module and makes a key, the
 * children sign with it.
 *
 * A child of fork is an application of its own (usage guide, "Applications and
 * processes"). What its parent did with the module does not hold for it: not
 * C_Initialize, no session, no login, no session object. So the key here is a
 * token object, and the children find it by its CKA_ID.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

/* SoftHSM2 2.6 wants -DWORKERS=1: it rewrites the token's file at every login,
   and processes that log in at the same time find half a token there. */
#ifndef WORKERS
#define WORKERS 3
#endif
enum { REQUESTS = 20 };

static CK_BYTE id[16];
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

static void generate(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public_template[] = {
		{CKA_TOKEN, &no, sizeof no}, /* the parent alone needs it */
		{CKA_EC_PARAMS, p256, sizeof p256},
	};
	CK_ATTRIBUTE private_template[] = {
		{CKA_TOKEN, &yes, sizeof yes}, /* every process sees it, after its login */
		{CKA_PRIVATE, &yes, sizeof yes},
		{CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_ID, id, sizeof id},
		{CKA_SIGN, &yes, sizeof yes},
	};
	check(p11->C_GenerateKeyPair(session, &mechanism, public_template, LENGTH(public_template),
	                             private_template, LENGTH(private_template), public, private),
	      "C_GenerateKeyPair");
}

static void sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *message, CK_BYTE signature[64]) {
	CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0};
	CK_BYTE digest[32];
	CK_ULONG digest_length = sizeof digest, length = 64;
	check(p11->C_DigestInit(session, &sha256), "C_DigestInit");
	check(p11->C_Digest(session, (CK_BYTE_PTR)message, strlen(message), digest, &digest_length), "C_Digest");
	check(p11->C_SignInit(session, &ecdsa, key), "C_SignInit");
	check(p11->C_Sign(session, digest, digest_length, signature, &length), "C_Sign");
}

/*
 * initialize_child calls C_Initialize again. Until then, a module that notices
 * the fork (Perilune does) answers all calls with CKR_CRYPTOKI_NOT_INITIALIZED.
 * One that does not (SoftHSM2) has the memory of its parent and answers
 * CKR_CRYPTOKI_ALREADY_INITIALIZED. Going on with that would share the parent's
 * sessions, files and random numbers, so it is finalized first.
 */
static void initialize_child(void) {
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_RV rv = p11->C_Initialize(&args);
	if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		check(p11->C_Finalize(NULL), "C_Finalize");
		rv = p11->C_Initialize(&args);
	}
	check(rv, "C_Initialize");
}

/* work is the life of a child: all that start does but loading the module, for
   the pointers that the parent took are good in the child. */
static void work(const char *label, int number) {
	initialize_child();
	CK_SESSION_HANDLE session = open_session(find_slot(label));
	login(session);
	CK_ATTRIBUTE wanted = {CKA_ID, id, sizeof id};
	CK_OBJECT_HANDLE key = find_key(session, CKO_PRIVATE_KEY, wanted);
	if (key == CK_INVALID_HANDLE)
		fail("the worker does not find its parent's key");

	char message[64];
	CK_BYTE signature[64];
	for (int i = 1; i <= REQUESTS; i++) {
		snprintf(message, sizeof message, "request %d of worker %d", i, number);
		sign(session, key, message, signature);
	}
	print_hex(message, signature, sizeof signature);
	finish(session);
}

/* run_workers returns how many of the children failed. */
static int run_workers(const char *label) {
	pid_t workers[WORKERS];
	int failed = 0;
	for (int i = 0; i < WORKERS; i++) {
		/* What stdio still holds would be printed by both. */
		fflush(NULL);
		workers[i] = fork();
		if (workers[i] == 0) {
			work(label, i + 1);
			exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		int status;
		if (workers[i] < 0 || waitpid(workers[i], &status, 0) < 0 || status != 0)
			failed++;
	}
	return failed;
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	CK_OBJECT_HANDLE public, private;
	check(p11->C_GenerateRandom(session, id, sizeof id), "C_GenerateRandom");
	generate(session, &public, &private);

	CK_BYTE point[80], signature[64];
	CK_ATTRIBUTE wanted = {CKA_EC_POINT, point, sizeof point};
	check(p11->C_GetAttributeValue(session, public, &wanted, 1), "C_GetAttributeValue");
	print_hex("public key", point + 2, wanted.ulValueLen - 2); /* see generate-sign.c */

	int failed = run_workers(token_label(argc, argv));

	/* The parent's session has not noticed anything of its children. */
	sign(session, private, "the parent's own", signature);
	print_hex("the parent's own", signature, sizeof signature);

	/* A token object stays until it is destroyed, whoever made it. */
	check(p11->C_DestroyObject(session, private), "C_DestroyObject");
	finish(session);
	if (failed > 0)
		fail("not all workers did their work");
	printf("%d workers made %d signatures\n", WORKERS, WORKERS * REQUESTS);
	return 0;
}
