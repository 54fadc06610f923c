/*
 * encrypt-gcm MODULE [TOKEN-LABEL]: encrypts a message with AES-GCM, decrypts it,
 * and shows that a changed message is not decrypted. Sections: 5.8 encryption,
 * 5.10 decryption, 6.13.2 AES-GCM, 6.13.5 its parameters.
 */
#include "example.h"

static CK_BYTE message[] = "a message to keep secret";
static CK_BYTE header[] = "a header that everyone may read";

static CK_OBJECT_HANDLE generate(CK_SESSION_HANDLE session) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG bytes = 32;
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_EXTRACTABLE, &no, sizeof no},
		{CKA_VALUE_LEN, &bytes, sizeof bytes},
		{CKA_ENCRYPT, &yes, sizeof yes},
		{CKA_DECRYPT, &yes, sizeof yes},
	};
	CK_OBJECT_HANDLE key;
	check(p11->C_GenerateKey(session, &mechanism, template, LENGTH(template), &key), "C_GenerateKey");
	return key;
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);

	/* A program finds its key by the label. Here one is made if there is none. */
	CK_ATTRIBUTE label = {CKA_LABEL, "example-gcm", 11};
	CK_OBJECT_HANDLE key = find_key(session, CKO_SECRET_KEY, label);
	if (key == CK_INVALID_HANDLE)
		key = generate(session);

	/* Each message needs another nonce: two messages under the same key and
	   nonce betray each other, and the key that makes the tags as well. A
	   random one of 12 bytes does for 2^32 messages. */
	CK_BYTE nonce[12];
	check(p11->C_GenerateRandom(session, nonce, sizeof nonce), "C_GenerateRandom");
	print_hex("nonce", nonce, sizeof nonce);

	CK_GCM_PARAMS params = {
		.pIv = nonce,
		.ulIvLen = sizeof nonce,
		.ulIvBits = 8 * sizeof nonce, /* the length again; some modules insist */
		.pAAD = header, /* not encrypted, and protected against changes */
		.ulAADLen = sizeof header - 1,
		.ulTagBits = 128,
	};
	CK_MECHANISM gcm = {CKM_AES_GCM, &params, sizeof params};

	/* A call with no buffer for the output asks how large it has to be. The
	   operation goes on, as it does after CKR_BUFFER_TOO_SMALL; any other error
	   ends it (section 5.2). */
	CK_ULONG sealed_length;
	check(p11->C_EncryptInit(session, &gcm, key), "C_EncryptInit");
	check(p11->C_Encrypt(session, message, sizeof message, NULL, &sealed_length), "C_Encrypt");
	CK_BYTE *sealed = malloc(sealed_length);
	if (sealed == NULL)
		fail("out of memory");
	check(p11->C_Encrypt(session, message, sizeof message, sealed, &sealed_length), "C_Encrypt");
	print_hex("ciphertext and tag", sealed, sealed_length);
	if (sealed_length != sizeof message + 16)
		fail("the ciphertext is not as long as the message and the tag");

	/* Room for as many bytes as go in is enough for every module. */
	CK_BYTE opened[sizeof message + 16];
	CK_ULONG opened_length = sizeof opened;
	check(p11->C_DecryptInit(session, &gcm, key), "C_DecryptInit");
	check(p11->C_Decrypt(session, sealed, sealed_length, opened, &opened_length), "C_Decrypt");
	if (opened_length != sizeof message || memcmp(opened, message, sizeof message) != 0)
		fail("another message comes back");
	printf("decrypted: %s\n", (const char *)opened);

	/* GCM notices every change, in the ciphertext and in the header. Modules
	   differ in the code that they answer: CKR_ENCRYPTED_DATA_INVALID,
	   CKR_AEAD_DECRYPT_FAILED, CKR_GENERAL_ERROR. Do not tell them apart, and
	   do not look at the buffer. */
	header[0] = 'A';
	opened_length = sizeof opened;
	check(p11->C_DecryptInit(session, &gcm, key), "C_DecryptInit");
	CK_RV rv = p11->C_Decrypt(session, sealed, sealed_length, opened, &opened_length);
	if (rv == CKR_OK)
		fail("a message with another header is decrypted");
	printf("with another header: %s\n", rv_name(rv));

	free(sealed);
	finish(session);
	return 0;
}
