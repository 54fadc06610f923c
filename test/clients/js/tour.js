'use strict';

// A tour with pkcs11js, the C interface in Node.js, and another with
// graphene-pk11, the objects over it. Every result is compared with Node's own
// crypto module. See children_test.go for what it prints.
//
// node tour.js, with CLIENTS_LIBRARY, CLIENTS_LABEL and CLIENTS_PIN.

const assert = require('node:assert');
const crypto = require('node:crypto');
const graphene = require('graphene-pk11');
const pkcs11js = require('pkcs11js');

const library = process.env.CLIENTS_LIBRARY;
const label = process.env.CLIENTS_LABEL;
const pin = process.env.CLIENTS_PIN;

async function step(name, f) {
  try {
    await f();
    console.log(`ok ${name}`);
  } catch (e) {
    console.log(`failed ${name}: ${String(e.stack || e).replaceAll('\n', '; ')}`);
  }
}

const message = crypto.randomBytes(1000);
const digest = crypto.createHash('sha256').update(message).digest();
const p256 = Buffer.from('06082a8648ce3d030107', 'hex');

async function pkcs11jsTour() {
  const p = new pkcs11js.PKCS11();
  let session;
  let rsa;
  await step('pkcs11js load and initialize', () => {
    p.load(library);
    p.C_Initialize({flags: pkcs11js.CKF_OS_LOCKING_OK});
    assert(p.C_GetInfo().cryptokiVersion.major >= 2);
  });
  await step('pkcs11js log in', () => {
    const slot = p.C_GetSlotList(true).find((s) => p.C_GetTokenInfo(s).label.trim() === label);
    assert(slot, 'the token is not there');
    assert(p.C_GetMechanismList(slot).length > 50);
    session = p.C_OpenSession(slot, pkcs11js.CKF_RW_SESSION | pkcs11js.CKF_SERIAL_SESSION);
    p.C_Login(session, pkcs11js.CKU_USER, pin);
    assert.strictEqual(p.C_GetSessionInfo(session).state, 3 /* CKS_RW_USER_FUNCTIONS */);
  });
  await step('pkcs11js errors carry their code', () => {
    assert.throws(() => p.C_Login(session, pkcs11js.CKU_USER, pin), {code: pkcs11js.CKR_USER_ALREADY_LOGGED_IN});
  });
  await step('pkcs11js random', () => {
    const random = p.C_GenerateRandom(session, Buffer.alloc(20));
    assert.notDeepStrictEqual(random, Buffer.alloc(20));
  });
  await step('pkcs11js digest in parts', () => {
    p.C_DigestInit(session, {mechanism: pkcs11js.CKM_SHA256});
    p.C_DigestUpdate(session, message.subarray(0, 10));
    p.C_DigestUpdate(session, message.subarray(10));
    assert.deepStrictEqual(p.C_DigestFinal(session, Buffer.alloc(32)), digest);
  });
  await step('pkcs11js generate RSA', async () => {
    rsa = await p.C_GenerateKeyPairAsync(session, {mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN}, [
      {type: pkcs11js.CKA_MODULUS_BITS, value: 2048},
      {type: pkcs11js.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1])},
      {type: pkcs11js.CKA_VERIFY, value: true},
      {type: pkcs11js.CKA_ENCRYPT, value: true},
      {type: pkcs11js.CKA_VERIFY_RECOVER, value: true},
    ], [
      {type: pkcs11js.CKA_SIGN, value: true},
      {type: pkcs11js.CKA_DECRYPT, value: true},
      {type: pkcs11js.CKA_SIGN_RECOVER, value: true},
    ]);
    const [modulus, exponent] = p.C_GetAttributeValue(session, rsa.publicKey, [{type: pkcs11js.CKA_MODULUS}, {type: pkcs11js.CKA_PUBLIC_EXPONENT}]);
    const jwk = {kty: 'RSA', n: modulus.value.toString('base64url'), e: exponent.value.toString('base64url')};
    rsa.key = crypto.createPublicKey({key: jwk, format: 'jwk'});
  });
  await step('pkcs11js sign RSA', () => {
    p.C_SignInit(session, {mechanism: pkcs11js.CKM_SHA256_RSA_PKCS}, rsa.privateKey);
    const signature = p.C_Sign(session, message, Buffer.alloc(256));
    assert(crypto.verify('sha256', message, rsa.key, signature));
    p.C_VerifyInit(session, {mechanism: pkcs11js.CKM_SHA256_RSA_PKCS}, rsa.publicKey);
    assert(p.C_Verify(session, message, signature));
  });
  await step('pkcs11js sign PSS', () => {
    const parameter = {type: pkcs11js.CK_PARAMS_RSA_PSS, hashAlg: pkcs11js.CKM_SHA256, mgf: pkcs11js.CKG_MGF1_SHA256, saltLen: 32};
    p.C_SignInit(session, {mechanism: pkcs11js.CKM_SHA256_RSA_PKCS_PSS, parameter}, rsa.privateKey);
    const signature = p.C_Sign(session, message, Buffer.alloc(256));
    assert(crypto.verify('sha256', message, {key: rsa.key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32}, signature));
  });
  await step('pkcs11js sign and verify with recovery', () => {
    p.C_SignRecoverInit(session, {mechanism: pkcs11js.CKM_RSA_PKCS}, rsa.privateKey);
    const signature = p.C_SignRecover(session, digest, Buffer.alloc(256));
    assert.deepStrictEqual(crypto.publicDecrypt(rsa.key, signature), digest);
    p.C_VerifyRecoverInit(session, {mechanism: pkcs11js.CKM_RSA_PKCS}, rsa.publicKey);
    assert.deepStrictEqual(p.C_VerifyRecover(session, signature, Buffer.alloc(256)), digest);
  });
  for (const hash of ['SHA1', 'SHA256']) {
    await step(`pkcs11js decrypt OAEP ${hash}`, () => {
      const sealed = crypto.publicEncrypt({key: rsa.key, oaepHash: hash}, digest);
      const parameter = {
        type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg: hash === 'SHA1' ? pkcs11js.CKM_SHA_1 : pkcs11js.CKM_SHA256,
        mgf: pkcs11js[`CKG_MGF1_${hash}`], source: 1 /* CKZ_DATA_SPECIFIED */,
      };
      p.C_DecryptInit(session, {mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter}, rsa.privateKey);
      assert.deepStrictEqual(p.C_Decrypt(session, sealed, Buffer.alloc(256)), digest);
    });
  }
  await step('pkcs11js derive ECDH', () => {
    const pair = p.C_GenerateKeyPair(session, {mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN},
      [{type: pkcs11js.CKA_EC_PARAMS, value: p256}],
      [{type: pkcs11js.CKA_DERIVE, value: true}]);
    const [point] = p.C_GetAttributeValue(session, pair.publicKey, [{type: pkcs11js.CKA_EC_POINT}]);
    const peer = crypto.createECDH('prime256v1');
    const parameter = {type: pkcs11js.CK_PARAMS_EC_DH, kdf: pkcs11js.CKD_NULL, publicData: peer.generateKeys()};
    const secret = p.C_DeriveKey(session, {mechanism: pkcs11js.CKM_ECDH1_DERIVE, parameter}, pair.privateKey, [
      {type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY},
      {type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES},
      {type: pkcs11js.CKA_VALUE_LEN, value: 32},
      {type: pkcs11js.CKA_SENSITIVE, value: false},
      {type: pkcs11js.CKA_EXTRACTABLE, value: true},
    ]);
    const [value] = p.C_GetAttributeValue(session, secret, [{type: pkcs11js.CKA_VALUE}]);
    assert.deepStrictEqual(value.value, peer.computeSecret(point.value.subarray(2)));
  });
  const aes = crypto.randomBytes(32);
  let key;
  await step('pkcs11js import AES', () => {
    key = p.C_CreateObject(session, [
      {type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY},
      {type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES},
      {type: pkcs11js.CKA_VALUE, value: aes},
      {type: pkcs11js.CKA_ENCRYPT, value: true},
      {type: pkcs11js.CKA_DECRYPT, value: true},
    ]);
  });
  const iv = crypto.randomBytes(12);
  const gcm = crypto.createCipheriv('aes-256-gcm', aes, iv);
  gcm.setAAD(digest);
  const sealed = Buffer.concat([gcm.update(message), gcm.final(), gcm.getAuthTag()]);
  // Two layouts of CK_GCM_PARAMS are in use, with ulIvBits and without.
  for (const type of ['CK_PARAMS_AES_GCM_v240', 'CK_PARAMS_AES_GCM']) {
    await step(`pkcs11js AES-GCM with ${type}`, async () => {
      const parameter = {type: pkcs11js[type], iv, aad: digest, ivBits: 96, tagBits: 128};
      p.C_EncryptInit(session, {mechanism: pkcs11js.CKM_AES_GCM, parameter}, key);
      assert.deepStrictEqual(p.C_Encrypt(session, message, Buffer.alloc(1016)), sealed);
      p.C_DecryptInit(session, {mechanism: pkcs11js.CKM_AES_GCM, parameter}, key);
      assert.deepStrictEqual(await p.C_DecryptAsync(session, sealed, Buffer.alloc(1016)), message);
    });
  }
  await step('pkcs11js many sessions at once', async () => {
    const slot = p.C_GetSessionInfo(session).slotID;
    const signatures = await Promise.all(Array.from({length: 16}, async () => {
      const own = p.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION);
      p.C_SignInit(own, {mechanism: pkcs11js.CKM_SHA256_RSA_PKCS}, rsa.privateKey);
      const signature = await p.C_SignAsync(own, message, Buffer.alloc(256));
      p.C_CloseSession(own);
      return signature;
    }));
    for (const signature of signatures) {
      assert(crypto.verify('sha256', message, rsa.key, signature));
    }
  });
  await step('pkcs11js finalize', () => {
    p.C_Logout(session);
    p.C_CloseSession(session);
    p.C_Finalize();
    p.close();
  });
}

async function grapheneTour() {
  let module;
  let session;
  await step('graphene load and log in', () => {
    module = graphene.Module.load(library, 'Clients');
    module.initialize();
    const slots = module.getSlots(true);
    let slot;
    for (let i = 0; i < slots.length; i++) {
      if (slots.items(i).getToken().label.trim() === label) {
        slot = slots.items(i);
      }
    }
    session = slot.open(graphene.SessionFlag.RW_SESSION | graphene.SessionFlag.SERIAL_SESSION);
    session.login(pin);
  });
  await step('graphene digest', () => {
    const hash = session.createDigest('SHA256');
    hash.update(message);
    assert.deepStrictEqual(hash.final(), digest);
  });
  await step('graphene RSA', () => {
    const pair = session.generateKeyPair(graphene.KeyGenMechanism.RSA, {
      keyType: graphene.KeyType.RSA, label: 'graphene', token: true, modulusBits: 2048, publicExponent: Buffer.from([1, 0, 1]),
      verify: true, encrypt: true, wrap: true,
    }, {keyType: graphene.KeyType.RSA, label: 'graphene', token: true, sign: true, decrypt: true, unwrap: true});
    const {modulus, publicExponent} = pair.publicKey.getAttribute({modulus: null, publicExponent: null});
    const jwk = {kty: 'RSA', n: modulus.toString('base64url'), e: publicExponent.toString('base64url')};
    const key = crypto.createPublicKey({key: jwk, format: 'jwk'});
    const signature = session.createSign('SHA256_RSA_PKCS', pair.privateKey).once(message);
    assert(crypto.verify('sha256', message, key, signature));
    assert(session.createVerify('SHA256_RSA_PKCS', pair.publicKey).once(message, signature));
    const sealed = crypto.publicEncrypt({key, padding: crypto.constants.RSA_PKCS1_PADDING}, digest);
    assert.deepStrictEqual(session.createDecipher('RSA_PKCS', pair.privateKey).once(sealed, Buffer.alloc(256)), digest);
  });
  await step('graphene ECDSA', () => {
    const pair = session.generateKeyPair(graphene.KeyGenMechanism.ECDSA,
      {keyType: graphene.KeyType.ECDSA, token: false, verify: true, paramsECDSA: graphene.NamedCurve.getByName('secp256r1').value},
      {keyType: graphene.KeyType.ECDSA, token: false, sign: true});
    const point = pair.publicKey.getAttribute({pointEC: null}).pointEC.subarray(3);
    const jwk = {kty: 'EC', crv: 'P-256', x: point.subarray(0, 32).toString('base64url'), y: point.subarray(32).toString('base64url')};
    const key = crypto.createPublicKey({key: jwk, format: 'jwk'});
    const signature = session.createSign('ECDSA', pair.privateKey).once(digest);
    assert(crypto.verify('sha256', message, {key, dsaEncoding: 'ieee-p1363'}, signature));
  });
  await step('graphene AES', () => {
    const key = session.generateKey(graphene.KeyGenMechanism.AES, {
      class: graphene.ObjectClass.SECRET_KEY, keyType: graphene.KeyType.AES, token: false, valueLen: 32,
      encrypt: true, decrypt: true, sensitive: false, extractable: true, label: 'aes',
    });
    const iv = crypto.randomBytes(16);
    const cipher = session.createCipher({name: 'AES_CBC_PAD', params: iv}, key);
    const sealed = Buffer.concat([cipher.update(message), cipher.final()]);
    const decipher = crypto.createDecipheriv('aes-256-cbc', key.getAttribute({value: null}).value, iv);
    assert.deepStrictEqual(Buffer.concat([decipher.update(sealed), decipher.final()]), message);
  });
  await step('graphene find and destroy', () => {
    assert.strictEqual(session.find({label: 'graphene'}).length, 2);
    assert.strictEqual(session.destroy({label: 'graphene'}), 2);
    assert.strictEqual(session.find({label: 'graphene'}).length, 0);
  });
  await step('graphene finalize', () => {
    session.logout();
    session.close();
    module.finalize();
  });
}

pkcs11jsTour().then(grapheneTour).then(() => console.log('end'));
