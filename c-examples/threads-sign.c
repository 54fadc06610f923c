/*
 * threads-sign MODULE [TOKEN-LABEL]: signs from many threads at once.
 *
 * Two rules make that work: the module is initialised with CKF_OS_LOCKING_OK
 * (see load in example.h), and each thread has a session of its own, for a
 * session does one thing at a time: two threads in one session get
 * CKR_OPERATION_ACTIVE or each other's signatures. The login and the key serve
 * all of them. Sections: 5.4.1 threads, 5.6 sessions, 6.1 RSA.
 */
#include <pthread.h>

#include "example.h"

enum { THREADS = 8, SIGNATURES = 50 };

static CK_SLOT_ID slot;
static CK_OBJECT_HANDLE public, private;
static CK_BYTE last_signatures[THREADS][256];

static void generate(CK_SESSION_HANDLE session) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG bits = 2048;
	CK_BYTE exponent[] = {0x01, 0x00, 0x01};
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public_template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_MODULUS_BITS, &bits, sizeof bits},
		{CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
		{CKA_VERIFY, &yes, sizeof yes},
	};
	CK_ATTRIBUTE private_template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_SIGN, &yes, sizeof yes},
	};
	check(p11->C_GenerateKeyPair(session, &mechanism, public_template, LENGTH(public_template),
	                             private_template, LENGTH(private_template), &public, &private),
	      "C_GenerateKeyPair");
}

/* work signs and verifies SIGNATURES messages, none like another thread's. An
   error ends the program here; a server would give it to who waits for an answer. */
static void *work(void *argument) {
	int number = *(int *)argument;
	CK_SESSION_HANDLE session = open_session(slot);
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	for (int i = 0; i < SIGNATURES; i++) {
		CK_BYTE message[64], *signature = last_signatures[number];
		CK_ULONG length = sizeof last_signatures[number];
		int size = snprintf((char *)message, sizeof message, "message %d of thread %d", i, number);
		check(p11->C_SignInit(session, &mechanism, private), "C_SignInit");
		check(p11->C_Sign(session, message, (CK_ULONG)size, signature, &length), "C_Sign");
		check(p11->C_VerifyInit(session, &mechanism, public), "C_VerifyInit");
		check(p11->C_Verify(session, message, (CK_ULONG)size, signature, length), "C_Verify");
	}
	check(p11->C_CloseSession(session), "C_CloseSession");
	return NULL;
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	slot = find_slot(token_label(argc, argv));
	/* The key lives as long as the session that made it, so that one stays open
	   until the threads are done. */
	generate(session);
	CK_BYTE modulus[256];
	CK_ATTRIBUTE wanted = {CKA_MODULUS, modulus, sizeof modulus};
	check(p11->C_GetAttributeValue(session, public, &wanted, 1), "C_GetAttributeValue");
	print_hex("modulus", modulus, wanted.ulValueLen);

	pthread_t threads[THREADS];
	int numbers[THREADS];
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0)
			fail("no more threads");
	}
	/* C_Finalize must wait until no thread is in the module any more (section 5.4.2). */
	for (int i = 0; i < THREADS; i++)
		if (pthread_join(threads[i], NULL) != 0)
			fail("a thread is lost");
	for (int i = 0; i < THREADS; i++)
		print_hex("last signature", last_signatures[i], sizeof last_signatures[i]);
	printf("%d threads made and verified %d signatures\n", THREADS, THREADS * SIGNATURES);

	finish(session);
	return 0;
}
