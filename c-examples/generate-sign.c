/*
 * generate-sign MODULE [TOKEN-LABEL]: makes a key pair on the curve P-256, signs
 * a message with it, and verifies the signature.
 *
 * The private key stays in the token: the program has a handle, which is a
 * number, and never the key. Sections: 5.18.2 key pairs, 5.13 signing, 5.15
 * verifying, 6.3 elliptic curves.
 */
#include "example.h"

static const CK_BYTE message[] = "a message to sign";

/* The object identifier of P-256 in DER: how a template names the curve. */
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

static void generate(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	/* CKA_TOKEN says whether an object outlives the session. These do not.
	   What can go wrong: CKR_TEMPLATE_INCOMPLETE without the curve,
	   CKR_CURVE_NOT_SUPPORTED, or CKR_ATTRIBUTE_VALUE_INVALID, with one that
	   the token lacks, CKR_USER_NOT_LOGGED_IN without a login. */
	CK_ATTRIBUTE public_template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_EC_PARAMS, p256, sizeof p256},
		{CKA_VERIFY, &yes, sizeof yes},
	};
	CK_ATTRIBUTE private_template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_PRIVATE, &yes, sizeof yes},
		{CKA_SENSITIVE, &yes, sizeof yes},  /* its value is never told */
		{CKA_EXTRACTABLE, &no, sizeof no}, /* nor wrapped under another key */
		{CKA_SIGN, &yes, sizeof yes},
	};
	check(p11->C_GenerateKeyPair(session, &mechanism, public_template, LENGTH(public_template),
	                             private_template, LENGTH(private_template), public, private),
	      "C_GenerateKeyPair");
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	CK_OBJECT_HANDLE public, private;
	generate(session, &public, &private);

	CK_BYTE point[80];
	CK_ATTRIBUTE wanted = {CKA_EC_POINT, point, sizeof point};
	check(p11->C_GetAttributeValue(session, public, &wanted, 1), "C_GetAttributeValue");
	/* The point comes in a DER octet string (section 6.3.3): two bytes, then
	   04, x and y. Some old tokens leave those two bytes out. */
	if (wanted.ulValueLen != 67 || point[0] != 0x04 || point[1] != 65)
		fail("the public key is not a point of P-256 in an octet string");
	print_hex("public key", point + 2, wanted.ulValueLen - 2);

	/* The token signs a digest, so the message is hashed first: by the token
	   here, and it could as well be hashed by the program. CKM_ECDSA_SHA256
	   does both in one, where a token has it. */
	CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
	CK_BYTE digest[32];
	CK_ULONG digest_length = sizeof digest;
	check(p11->C_DigestInit(session, &sha256), "C_DigestInit");
	check(p11->C_Digest(session, (CK_BYTE_PTR)message, sizeof message - 1, digest, &digest_length), "C_Digest");

	/* An operation has an Init call, which names the mechanism and the key,
	   and then one call that does it, whereupon it is over. If C_SignInit says
	   CKR_OPERATION_ACTIVE, an earlier one was begun and never ended: a
	   session does one signature at a time. */
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
	CK_BYTE signature[64];
	CK_ULONG length = sizeof signature;
	check(p11->C_SignInit(session, &ecdsa, private), "C_SignInit");
	check(p11->C_Sign(session, digest, digest_length, signature, &length), "C_Sign");
	/* It is r and s, 32 bytes each, and not the DER that OpenSSL wants (section 6.3.1). */
	print_hex("signature", signature, length);

	check(p11->C_VerifyInit(session, &ecdsa, public), "C_VerifyInit");
	check(p11->C_Verify(session, digest, digest_length, signature, length), "C_Verify");
	printf("the signature is valid\n");

	/* A wrong signature is a code of its own. Whoever tests for anything but
	   CKR_OK takes a failure of the token for a forgery, or worse. */
	digest[0] ^= 1;
	check(p11->C_VerifyInit(session, &ecdsa, public), "C_VerifyInit");
	CK_RV rv = p11->C_Verify(session, digest, digest_length, signature, length);
	if (rv != CKR_SIGNATURE_INVALID)
		fail("the signature of another message is valid");
	printf("for another message: %s\n", rv_name(rv));

	finish(session);
	return 0;
}
