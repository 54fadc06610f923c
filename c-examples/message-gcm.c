/*
 * message-gcm MODULE [TOKEN-LABEL]: AES-GCM for many messages under one key, by
 * the message functions that came with PKCS#11 3.0 (sections 5.9 and 5.11).
 *
 * C_EncryptInit takes the nonce with the mechanism, so it is called for every
 * message. C_MessageEncryptInit is called once for a key, and each message
 * brings its own parameters. The token can make the nonce, so that no program
 * uses one twice, and the tag is apart from the ciphertext.
 */
#include "example.h"

static CK_BYTE first[] = "the first message", second[] = "the second message, in two parts";
static CK_BYTE header[] = "a header that everyone may read";

static CK_FUNCTION_LIST_3_0_PTR p30;

/*
 * get_interface finds the list that has the new functions (section 5.4.6):
 * C_GetFunctionList can only give that of version 2.40, to which nothing can be
 * added. Modules from before 3.0 lack C_GetInterface, so it is looked up by name.
 */
static void get_interface(void) {
	CK_C_GetInterface get;
	*(void **)&get = dlsym(module, "C_GetInterface");
	if (get == NULL)
		fail("this module has no C_GetInterface: it is older than PKCS#11 3.0");
	CK_VERSION version = {3, 0};
	CK_INTERFACE_PTR interface;
	check(get((CK_UTF8CHAR_PTR) "PKCS 11", &version, &interface, 0), "C_GetInterface");
	p30 = interface->pFunctionList;
}

static CK_OBJECT_HANDLE generate(CK_SESSION_HANDLE session) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG bytes = 32;
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE template[] = {
		{CKA_TOKEN, &no, sizeof no},         {CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_VALUE_LEN, &bytes, sizeof bytes}, {CKA_ENCRYPT, &yes, sizeof yes},
		{CKA_DECRYPT, &yes, sizeof yes},
	};
	CK_OBJECT_HANDLE key;
	check(p11->C_GenerateKey(session, &mechanism, template, LENGTH(template), &key), "C_GenerateKey");
	return key;
}

/* What goes with a ciphertext: the token fills in both when it encrypts. */
struct seal {
	CK_BYTE nonce[12], tag[16];
};

static CK_GCM_MESSAGE_PARAMS parameters(struct seal *seal, CK_GENERATOR_FUNCTION generator) {
	CK_GCM_MESSAGE_PARAMS params = {
		.pIv = seal->nonce,
		.ulIvLen = sizeof seal->nonce,
		.ulIvFixedBits = 0, /* how much of the nonce the token has to leave alone */
		.ivGenerator = generator,
		.pTag = seal->tag,
		.ulTagBits = 8 * sizeof seal->tag,
	};
	return params;
}

static void print_sealed(const struct seal *seal, const CK_BYTE *ciphertext, CK_ULONG length) {
	print_hex("nonce", seal->nonce, sizeof seal->nonce);
	print_hex("ciphertext", ciphertext, length);
	print_hex("tag", seal->tag, sizeof seal->tag);
}

/* encrypt_parts gives a message to the token piece by piece. The last one says
   that it is the last, and only then is there a tag. */
static void encrypt_parts(CK_SESSION_HANDLE session, struct seal *seal, CK_BYTE *ciphertext) {
	CK_GCM_MESSAGE_PARAMS params = parameters(seal, CKG_GENERATE);
	CK_ULONG half = sizeof second / 2, rest = sizeof second - half;
	CK_ULONG half_length = half, rest_length = rest;
	check(p30->C_EncryptMessageBegin(session, &params, sizeof params, header, sizeof header - 1), "C_EncryptMessageBegin");
	check(p30->C_EncryptMessageNext(session, &params, sizeof params, second, half, ciphertext, &half_length, 0), "C_EncryptMessageNext");
	check(p30->C_EncryptMessageNext(session, &params, sizeof params, second + half, rest, ciphertext + half_length, &rest_length,
	                                CKF_END_OF_MESSAGE), "C_EncryptMessageNext");
}

static CK_RV decrypt(CK_SESSION_HANDLE session, struct seal *seal, CK_BYTE *ciphertext, CK_ULONG length, CK_BYTE *opened) {
	CK_GCM_MESSAGE_PARAMS params = parameters(seal, CKG_NO_GENERATE);
	CK_ULONG opened_length = length;
	return p30->C_DecryptMessage(session, &params, sizeof params, header, sizeof header - 1, ciphertext, length, opened, &opened_length);
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	get_interface();
	CK_ATTRIBUTE label = {CKA_LABEL, "example-gcm", 11};
	CK_OBJECT_HANDLE key = find_key(session, CKO_SECRET_KEY, label);
	if (key == CK_INVALID_HANDLE)
		key = generate(session);

	/* The mechanism has no parameter here: every message has. A module that has
	   the functions need not have them for GCM (CKR_MECHANISM_INVALID); the flag
	   CKF_MESSAGE_ENCRYPT of C_GetMechanismInfo would tell. */
	CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
	struct seal seals[2];
	CK_BYTE one[sizeof first], two[sizeof second], opened[sizeof second];
	CK_ULONG length = sizeof one;
	check(p30->C_MessageEncryptInit(session, &gcm, key), "C_MessageEncryptInit");
	CK_GCM_MESSAGE_PARAMS params = parameters(&seals[0], CKG_GENERATE);
	check(p30->C_EncryptMessage(session, &params, sizeof params, header, sizeof header - 1, first, sizeof first, one, &length), "C_EncryptMessage");
	print_sealed(&seals[0], one, length);
	encrypt_parts(session, &seals[1], two);
	print_sealed(&seals[1], two, sizeof two);
	check(p30->C_MessageEncryptFinal(session), "C_MessageEncryptFinal");
	if (memcmp(seals[0].nonce, seals[1].nonce, sizeof seals[0].nonce) == 0)
		fail("the token made the same nonce twice");

	/* Messages are decrypted in any order. */
	check(p30->C_MessageDecryptInit(session, &gcm, key), "C_MessageDecryptInit");
	check(decrypt(session, &seals[1], two, sizeof two, opened), "C_DecryptMessage");
	printf("decrypted: %s\n", (const char *)opened);
	check(decrypt(session, &seals[0], one, sizeof one, opened), "C_DecryptMessage");
	printf("decrypted: %s\n", (const char *)opened);

	/* A message that fails does not end the operation for the others. */
	seals[0].tag[0] ^= 1;
	CK_RV rv = decrypt(session, &seals[0], one, sizeof one, opened);
	if (rv == CKR_OK)
		fail("a message with another tag is decrypted");
	printf("with another tag: %s\n", rv_name(rv));
	check(decrypt(session, &seals[1], two, sizeof two, opened), "C_DecryptMessage");
	check(p30->C_MessageDecryptFinal(session), "C_MessageDecryptFinal");

	finish(session);
	return 0;
}
