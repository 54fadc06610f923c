import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.AuthProvider;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.KeySpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.interfaces.DHPublicKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import sun.security.internal.interfaces.TlsMasterSecret;
import sun.security.internal.spec.TlsKeyMaterialParameterSpec;
import sun.security.internal.spec.TlsKeyMaterialSpec;
import sun.security.internal.spec.TlsMasterSecretParameterSpec;
import sun.security.internal.spec.TlsPrfParameterSpec;
import sun.security.internal.spec.TlsRsaPremasterSecretParameterSpec;

/**
 * Runs every service that SunPKCS11 offers on a module, and compares each with
 * the provider of the JDK that does the same in software. A service for which
 * there is no test here is reported as failed, so that none is left out.
 *
 * java Services.java CONFIGURATION, with the PIN in CLIENTS_PIN.
 */
public class Services {
    interface Test {
        void run(String algorithm) throws Exception;
    }

    static final byte[] MESSAGE = bytes(1000);
    static final Map<String, KeyPair> tokenPairs = new HashMap<>();
    static final Map<String, KeyPair> softPairs = new HashMap<>();
    static AuthProvider token;

    public static void main(String[] args) throws Exception {
        char[] pin = System.getenv("CLIENTS_PIN").toCharArray();
        token = (AuthProvider) Security.getProvider("SunPKCS11").configure(args[0]);
        // A login and a key store open the token's session; it is not added to
        // the list of providers, so that every other service is software.
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, pin);

        Map<String, Test> tests = new HashMap<>();
        tests.put("AlgorithmParameters", Services::algorithmParameters);
        tests.put("Cipher", Services::cipher);
        tests.put("KeyAgreement", Services::keyAgreement);
        tests.put("KeyFactory", Services::keyFactory);
        tests.put("KeyGenerator", Services::keyGenerator);
        tests.put("KeyPairGenerator", Services::keyPairGenerator);
        tests.put("KeyStore", algorithm -> keyStore(store, pin));
        tests.put("Mac", Services::mac);
        tests.put("MessageDigest", Services::messageDigest);
        tests.put("SecretKeyFactory", Services::secretKeyFactory);
        tests.put("SecureRandom", Services::secureRandom);
        tests.put("Signature", Services::signature);

        TreeMap<String, Provider.Service> services = new TreeMap<>();
        for (Provider.Service service : token.getServices()) {
            services.put(service.getType() + " " + service.getAlgorithm(), service);
        }
        for (Map.Entry<String, Provider.Service> entry : services.entrySet()) {
            Provider.Service service = entry.getValue();
            Test test = tests.get(service.getType());
            try {
                check(test != null, "no test for this type of service");
                test.run(service.getAlgorithm());
                System.out.println("ok " + entry.getKey());
            } catch (Exception | AssertionError e) {
                System.out.println("failed " + entry.getKey() + ": " + describe(e));
            }
        }
        token.logout();
        System.out.println("end");
    }

    /* Signatures */

    static void signature(String algorithm) throws Exception {
        String family = signatureFamily(algorithm);
        KeyPair onToken = tokenPair(family);
        KeyPair inSoftware = softPair(family);
        byte[] data = algorithm.startsWith("Raw") ? bytes(20) : algorithm.startsWith("NONE") ? bytes(32) : MESSAGE;

        Signature sign = configured(Signature.getInstance(algorithm, token), algorithm);
        sign.initSign(onToken.getPrivate());
        sign.update(data, 0, 7);
        sign.update(data, 7, data.length - 7);
        byte[] signature = sign.sign();
        check(softVerify(algorithm, softPublic(onToken.getPublic(), family), data, signature), "software does not verify the token's signature");

        Signature verify = configured(Signature.getInstance(algorithm, token), algorithm);
        verify.initVerify(onToken.getPublic());
        verify.update(data);
        check(verify.verify(signature), "the token does not verify its own signature");

        byte[] foreign = softSign(algorithm, inSoftware.getPrivate(), data);
        verify.initVerify(inSoftware.getPublic());
        verify.update(data);
        check(verify.verify(foreign), "the token does not verify software's signature");
        data[0] ^= 1;
        verify.initVerify(inSoftware.getPublic());
        verify.update(data);
        boolean accepted = verify.verify(foreign);
        data[0] ^= 1;
        check(!accepted, "the token verifies the signature of another message");
    }

    static String signatureFamily(String algorithm) {
        if (algorithm.contains("ECDSA")) {
            return "EC";
        }
        if (algorithm.contains("DSA") && !algorithm.contains("RSA")) {
            return "DSA";
        }
        check(algorithm.contains("RSA"), "no test for this algorithm");
        return "RSA";
    }

    /** The same algorithm under the name that software providers have for it. */
    static String softName(String algorithm) {
        if (algorithm.endsWith("RSASSA-PSS")) {
            return "RSASSA-PSS";
        }
        return switch (algorithm) {
            case "RawDSA" -> "NONEwithDSA";
            case "RawDSAinP1363Format" -> "NONEwithDSAinP1363Format";
            case "DSAinP1363Format" -> "SHA1withDSAinP1363Format";
            default -> algorithm;
        };
    }

    static Signature configured(Signature signature, String algorithm) throws GeneralSecurityException {
        if (algorithm.endsWith("RSASSA-PSS")) {
            String hash = algorithm.equals("RSASSA-PSS") ? "SHA-256" : algorithm.substring(0, algorithm.indexOf("with")).replaceFirst("^SHA(?=\\d+$)", "SHA-").replace("SHA1", "SHA-1");
            int length = MessageDigest.getInstance(hash).getDigestLength();
            signature.setParameter(new PSSParameterSpec(hash, "MGF1", new MGF1ParameterSpec(hash), length, 1));
        }
        return signature;
    }

    static boolean softVerify(String algorithm, PublicKey key, byte[] data, byte[] signature) throws GeneralSecurityException {
        if (algorithm.equals("NONEwithRSA")) {
            // No software provider has it: it is PKCS#1 padding with nothing else.
            Cipher cipher = Cipher.getInstance("RSA/ECB/PKCS1Padding", "SunJCE");
            cipher.init(Cipher.DECRYPT_MODE, key);
            return Arrays.equals(cipher.doFinal(signature), data);
        }
        Signature verify = configured(Signature.getInstance(softName(algorithm)), algorithm);
        verify.initVerify(key);
        verify.update(data);
        return verify.verify(signature);
    }

    static byte[] softSign(String algorithm, PrivateKey key, byte[] data) throws GeneralSecurityException {
        if (algorithm.equals("NONEwithRSA")) {
            Cipher cipher = Cipher.getInstance("RSA/ECB/PKCS1Padding", "SunJCE");
            cipher.init(Cipher.ENCRYPT_MODE, key);
            return cipher.doFinal(data);
        }
        Signature sign = configured(Signature.getInstance(softName(algorithm)), algorithm);
        sign.initSign(key);
        sign.update(data);
        return sign.sign();
    }

    /* Ciphers */

    static void cipher(String transformation) throws Exception {
        if (transformation.startsWith("RSA/")) {
            rsaCipher(transformation);
            return;
        }
        String name = transformation.split("[/_]")[0];
        SecretKey key = new SecretKeySpec(bytes(keyLength(transformation)), name);
        boolean stream = transformation.contains("CTR") || transformation.contains("CTS") || transformation.contains("GCM")
            || transformation.contains("Poly1305") || transformation.contains("Padding") && !transformation.contains("NoPadding") || name.equals("ARCFOUR");
        byte[] data = Arrays.copyOf(MESSAGE, stream ? 999 : 960);
        boolean authenticated = transformation.contains("GCM") || transformation.contains("Poly1305");

        Cipher onToken = Cipher.getInstance(transformation, token);
        onToken.init(Cipher.ENCRYPT_MODE, key, cipherParameters(transformation));
        Cipher inSoftware = Cipher.getInstance(transformation);
        inSoftware.init(Cipher.ENCRYPT_MODE, key, cipherParameters(transformation));
        if (authenticated) {
            onToken.updateAAD(MESSAGE, 0, 20);
            inSoftware.updateAAD(MESSAGE, 0, 20);
        }
        byte[] sealed = inSoftware.doFinal(data);
        equal("ciphertext", inParts(onToken, data), sealed);

        onToken.init(Cipher.DECRYPT_MODE, key, cipherParameters(transformation));
        if (authenticated) {
            onToken.updateAAD(MESSAGE, 0, 20);
        }
        equal("plaintext", inParts(onToken, sealed), data);
        if (authenticated) {
            sealed[3] ^= 1;
            onToken.init(Cipher.DECRYPT_MODE, key, cipherParameters(transformation));
            onToken.updateAAD(MESSAGE, 0, 20);
            boolean refused = false;
            try {
                onToken.doFinal(sealed);
            } catch (GeneralSecurityException | RuntimeException e) {
                refused = true;
            }
            check(refused, "a changed ciphertext is decrypted");
        }
    }

    /** The last call carries no data: in JDK 17, SunPKCS11's GCM loses what doFinal is given after an update. */
    static byte[] inParts(Cipher cipher, byte[] data) throws GeneralSecurityException {
        byte[] first = cipher.update(data, 0, 33);
        byte[] rest = cipher.update(data, 33, data.length - 33);
        return concatenate(first, rest, cipher.doFinal());
    }

    static AlgorithmParameterSpec cipherParameters(String transformation) {
        if (transformation.contains("/GCM/")) {
            return new GCMParameterSpec(128, bytes(12));
        }
        if (transformation.contains("Poly1305")) {
            return new IvParameterSpec(bytes(12));
        }
        if (transformation.contains("/ECB/") || transformation.startsWith("ARCFOUR")) {
            return null;
        }
        return new IvParameterSpec(bytes(transformation.startsWith("AES") ? 16 : 8));
    }

    static int keyLength(String transformation) {
        if (transformation.startsWith("AES_")) {
            return Integer.parseInt(transformation.substring(4, 7)) / 8;
        }
        return switch (transformation.split("/")[0]) {
            case "AES", "ARCFOUR", "Blowfish" -> 16;
            case "DES" -> 8;
            case "DESede" -> 24;
            case "ChaCha20-Poly1305", "ChaCha20" -> 32;
            default -> throw new AssertionError("no test for this cipher");
        };
    }

    static void rsaCipher(String transformation) throws Exception {
        KeyPair onToken = tokenPair("RSA");
        KeyPair inSoftware = softPair("RSA");
        byte[] data = bytes(transformation.contains("NoPadding") ? 256 : 100);
        data[0] = 0;
        Cipher ours = Cipher.getInstance(transformation, token);
        Cipher theirs = Cipher.getInstance(transformation);
        theirs.init(Cipher.ENCRYPT_MODE, softPublic(onToken.getPublic(), "RSA"));
        ours.init(Cipher.DECRYPT_MODE, onToken.getPrivate());
        equal("decrypted by the token", ours.doFinal(theirs.doFinal(data)), data);
        ours.init(Cipher.ENCRYPT_MODE, inSoftware.getPublic());
        theirs.init(Cipher.DECRYPT_MODE, inSoftware.getPrivate());
        equal("encrypted by the token", theirs.doFinal(ours.doFinal(data)), data);
        if (!transformation.contains("NoPadding")) {
            SecretKey secret = new SecretKeySpec(bytes(16), "AES");
            ours.init(Cipher.WRAP_MODE, inSoftware.getPublic());
            theirs.init(Cipher.UNWRAP_MODE, inSoftware.getPrivate());
            equal("wrapped by the token", theirs.unwrap(ours.wrap(secret), "AES", Cipher.SECRET_KEY).getEncoded(), secret.getEncoded());
        }
    }

    /* Digests and MACs */

    static void messageDigest(String algorithm) throws Exception {
        MessageDigest digest = MessageDigest.getInstance(algorithm, token);
        digest.update(MESSAGE, 0, 13);
        digest.update(MESSAGE, 13, MESSAGE.length - 13);
        equal("digest", digest.digest(), MessageDigest.getInstance(algorithm).digest(MESSAGE));
        equal("digest of nothing", digest.digest(), MessageDigest.getInstance(algorithm).digest());
    }

    static void mac(String algorithm) throws Exception {
        byte[] key = bytes(algorithm.startsWith("SslMac") ? 20 : 64);
        equal("MAC", macWith(Mac.getInstance(algorithm, token), new SecretKeySpec(key, algorithm)),
            macWith(Mac.getInstance(algorithm), new SecretKeySpec(key, algorithm)));
    }

    static byte[] macWith(Mac mac, Key key) throws GeneralSecurityException {
        mac.init(key);
        mac.update(MESSAGE, 0, 13);
        mac.update(MESSAGE, 13, MESSAGE.length - 13);
        return mac.doFinal();
    }

    /* Keys */

    static void keyPairGenerator(String algorithm) throws Exception {
        KeyPair pair = tokenPair(algorithm);
        if (algorithm.equals("DH")) {
            keyAgreement("DH");
            return;
        }
        String signature = "SHA1with" + (algorithm.equals("EC") ? "ECDSA" : algorithm);
        Signature sign = Signature.getInstance(signature, token);
        sign.initSign(pair.getPrivate());
        sign.update(MESSAGE);
        check(softVerify(signature, softPublic(pair.getPublic(), algorithm), MESSAGE, sign.sign()), "the keys do not belong together");
    }

    static void keyFactory(String algorithm) throws Exception {
        KeyPair soft = softPair(algorithm);
        KeyFactory factory = KeyFactory.getInstance(algorithm, token);
        PublicKey publicKey = (PublicKey) factory.translateKey(soft.getPublic());
        PrivateKey privateKey = (PrivateKey) factory.translateKey(soft.getPrivate());
        equal("public key", publicValue(factory.getKeySpec(publicKey, X509EncodedKeySpec.class).getEncoded(), algorithm), publicValue(soft.getPublic().getEncoded(), algorithm));
        PublicKey again = factory.generatePublic(new X509EncodedKeySpec(soft.getPublic().getEncoded()));
        equal("generated public key", publicValue(again.getEncoded(), algorithm), publicValue(soft.getPublic().getEncoded(), algorithm));
        PrivateKey generated = factory.generatePrivate(new PKCS8EncodedKeySpec(soft.getPrivate().getEncoded()));
        for (PrivateKey key : new PrivateKey[] {privateKey, generated}) {
            if (algorithm.equals("DH")) {
                KeyPair peer = softPair("DH peer");
                equal("shared secret", agree(KeyAgreement.getInstance("DH", token), key, peer.getPublic()),
                    agree(KeyAgreement.getInstance("DH"), peer.getPrivate(), soft.getPublic()));
                continue;
            }
            String signature = "SHA1with" + (algorithm.equals("EC") ? "ECDSA" : algorithm);
            Signature sign = Signature.getInstance(signature, token);
            sign.initSign(key);
            sign.update(MESSAGE);
            check(softVerify(signature, soft.getPublic(), MESSAGE, sign.sign()), "a translated private key signs wrongly");
        }
    }

    /** What identifies an encoded public key: for DH, the length of the private value is optional in it. */
    static byte[] publicValue(byte[] encoded, String algorithm) throws GeneralSecurityException {
        PublicKey key = KeyFactory.getInstance(algorithm).generatePublic(new X509EncodedKeySpec(encoded));
        return key instanceof DHPublicKey dh ? dh.getY().toByteArray() : encoded;
    }

    static void keyAgreement(String algorithm) throws Exception {
        String family = algorithm.equals("ECDH") ? "EC" : algorithm;
        KeyPair onToken = tokenPair(family);
        KeyPair peer;
        if (family.equals("DH")) {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("DH");
            generator.initialize(((DHPublicKey) onToken.getPublic()).getParams());
            peer = generator.generateKeyPair();
        } else {
            peer = softPair(family);
        }
        byte[] expected = agree(KeyAgreement.getInstance(algorithm), peer.getPrivate(), softPublic(onToken.getPublic(), family));
        equal("shared secret", agree(KeyAgreement.getInstance(algorithm, token), onToken.getPrivate(), peer.getPublic()), expected);

        KeyAgreement agreement = KeyAgreement.getInstance(algorithm, token);
        agreement.init(onToken.getPrivate());
        agreement.doPhase(peer.getPublic(), true);
        SecretKey premaster = agreement.generateSecret("TlsPremasterSecret");
        if (premaster.getEncoded() != null) {
            equal("premaster secret", stripped(premaster.getEncoded()), stripped(expected));
        }
    }

    static byte[] agree(KeyAgreement agreement, PrivateKey own, PublicKey peer) throws GeneralSecurityException {
        agreement.init(own);
        agreement.doPhase(peer, true);
        return agreement.generateSecret();
    }

    static void secretKeyFactory(String algorithm) throws Exception {
        byte[] value = bytes(algorithm.equals("ARCFOUR") ? 16 : keyLength(algorithm));
        if (algorithm.startsWith("DES")) {
            for (int i = 0; i < value.length; i++) { // odd parity, which a DES key has
                value[i] = (byte) (value[i] & 0xfe | Integer.bitCount(value[i] & 0xfe) + 1 & 1);
            }
        }
        SecretKeyFactory factory = SecretKeyFactory.getInstance(algorithm, token);
        SecretKey key = factory.translateKey(new SecretKeySpec(value, algorithm));
        equal("translated key", key.getEncoded(), value);
        equal("key specification", ((SecretKeySpec) factory.getKeySpec(key, SecretKeySpec.class)).getEncoded(), value);
        SecretKey generated = factory.generateSecret(new SecretKeySpec(value, algorithm));
        equal("generated key", generated.getEncoded(), value);
    }

    static void keyGenerator(String algorithm) throws Exception {
        if (algorithm.startsWith("SunTls")) {
            tlsKeyGenerator(algorithm);
            return;
        }
        KeyGenerator generator = KeyGenerator.getInstance(algorithm, token);
        SecretKey one = generator.generateKey();
        SecretKey two = generator.generateKey();
        check(one.getEncoded() != null, "the generated key has no value to compare");
        check(!Arrays.equals(one.getEncoded(), two.getEncoded()), "the same key twice");
        if (algorithm.startsWith("Hmac")) {
            // Where the module lacks a hash, SunPKCS11 offers keys for its HMAC all the same.
            if (token.getService("Mac", algorithm) != null) {
                equal("MAC", macWith(Mac.getInstance(algorithm, token), one), macWith(Mac.getInstance(algorithm), new SecretKeySpec(one.getEncoded(), algorithm)));
            }
            return;
        }
        String transformation = switch (algorithm) {
            case "AES", "DES", "DESede", "Blowfish" -> algorithm + "/CBC/NoPadding";
            case "ARCFOUR" -> "ARCFOUR";
            case "ChaCha20" -> "ChaCha20-Poly1305";
            default -> throw new AssertionError("no test for this key generator");
        };
        AlgorithmParameterSpec parameters = cipherParameters(transformation);
        Cipher ours = Cipher.getInstance(transformation, token);
        ours.init(Cipher.ENCRYPT_MODE, one, parameters);
        Cipher theirs = Cipher.getInstance(transformation);
        theirs.init(Cipher.DECRYPT_MODE, new SecretKeySpec(one.getEncoded(), algorithm), parameters);
        byte[] data = bytes(960);
        equal("round trip", theirs.doFinal(ours.doFinal(data)), data);
    }

    /** The key derivations of TLS, which JSSE asks a token for. */
    static void tlsKeyGenerator(String algorithm) throws Exception {
        boolean tls12 = algorithm.contains("12");
        int minor = tls12 ? 3 : 2;
        String hash = tls12 ? "SHA-256" : "";
        int hashLength = tls12 ? 32 : -1;
        int blockLength = tls12 ? 64 : -1;
        byte[] premaster = bytes(48);
        premaster[0] = 3;
        premaster[1] = (byte) minor;
        SecretKey premasterKey = new SecretKeySpec(premaster, "TlsRsaPremasterSecret");
        SecretKey masterKey = new SecretKeySpec(bytes(48), "TlsMasterSecret");
        byte[] client = bytes(32);
        byte[] server = bytes(32);
        AlgorithmParameterSpec parameters;
        if (algorithm.endsWith("RsaPremasterSecret")) {
            KeyGenerator generator = KeyGenerator.getInstance(algorithm, token);
            generator.init(new TlsRsaPremasterSecretParameterSpec(0x300 + minor, 0x300 + minor));
            byte[] value = generator.generateKey().getEncoded();
            check(value.length == 48 && value[0] == 3 && value[1] == minor, "not a premaster secret: " + HexFormat.of().formatHex(value));
            return;
        } else if (algorithm.endsWith("MasterSecret")) {
            parameters = new TlsMasterSecretParameterSpec(premasterKey, 3, minor, client, server, hash, hashLength, blockLength);
        } else if (algorithm.endsWith("KeyMaterial")) {
            parameters = new TlsKeyMaterialParameterSpec(masterKey, 3, minor, client, server, "AES", 16, 16, 16, 20, hash, hashLength, blockLength);
        } else if (algorithm.endsWith("Prf")) {
            parameters = new TlsPrfParameterSpec(masterKey, "client finished", bytes(32), 12, hash, hashLength, blockLength);
        } else {
            throw new AssertionError("no test for this key generator");
        }
        SecretKey ours = generate(KeyGenerator.getInstance(algorithm, token), parameters);
        SecretKey theirs = generate(KeyGenerator.getInstance(algorithm, "SunJCE"), parameters);
        if (theirs instanceof TlsKeyMaterialSpec expected) {
            TlsKeyMaterialSpec got = (TlsKeyMaterialSpec) ours;
            equal("client key", got.getClientCipherKey().getEncoded(), expected.getClientCipherKey().getEncoded());
            equal("server key", got.getServerCipherKey().getEncoded(), expected.getServerCipherKey().getEncoded());
            equal("client MAC key", got.getClientMacKey().getEncoded(), expected.getClientMacKey().getEncoded());
            equal("server MAC key", got.getServerMacKey().getEncoded(), expected.getServerMacKey().getEncoded());
            equal("client IV", got.getClientIv().getIV(), expected.getClientIv().getIV());
            equal("server IV", got.getServerIv().getIV(), expected.getServerIv().getIV());
            return;
        }
        equal("derived secret", ours.getEncoded(), theirs.getEncoded());
        if (theirs instanceof TlsMasterSecret expected && expected.getMajorVersion() != -1) {
            check(((TlsMasterSecret) ours).getMinorVersion() == expected.getMinorVersion(), "the version differs");
        }
    }

    static SecretKey generate(KeyGenerator generator, AlgorithmParameterSpec parameters) throws GeneralSecurityException {
        generator.init(parameters);
        return generator.generateKey();
    }

    /* The rest */

    static void secureRandom(String algorithm) throws Exception {
        SecureRandom random = SecureRandom.getInstance(algorithm, token);
        byte[] one = new byte[100];
        byte[] two = new byte[100];
        random.nextBytes(one);
        random.nextBytes(two);
        check(!Arrays.equals(one, two) && !Arrays.equals(one, new byte[100]), "not random");
        random.setSeed(one);
        check(random.generateSeed(20).length == 20, "no seed");
    }

    static void algorithmParameters(String algorithm) throws Exception {
        AlgorithmParameters ours = AlgorithmParameters.getInstance(algorithm, token);
        AlgorithmParameters theirs = AlgorithmParameters.getInstance(algorithm);
        Class<? extends AlgorithmParameterSpec> kind;
        switch (algorithm) {
            case "EC" -> {
                ours.init(new ECGenParameterSpec("secp384r1"));
                kind = ECParameterSpec.class;
            }
            case "GCM" -> {
                ours.init(new GCMParameterSpec(128, bytes(12)));
                kind = GCMParameterSpec.class;
            }
            case "ChaCha20-Poly1305" -> {
                ours.init(new IvParameterSpec(bytes(12)));
                kind = IvParameterSpec.class;
            }
            default -> throw new AssertionError("no test for these parameters");
        }
        theirs.init(ours.getEncoded());
        equal("encoded parameters", theirs.getEncoded(), ours.getEncoded());
        check(theirs.getParameterSpec(kind) != null, "no parameters come back");
    }

    static void keyStore(KeyStore store, char[] pin) throws Exception {
        byte[] value = bytes(32);
        store.setEntry("services-aes", new KeyStore.SecretKeyEntry(new SecretKeySpec(value, "AES")), null);
        KeyStore again = KeyStore.getInstance("PKCS11", token);
        again.load(null, pin);
        check(again.isKeyEntry("services-aes"), "the stored key is not listed");
        Key key = again.getKey("services-aes", null);
        Cipher ours = Cipher.getInstance("AES/CBC/NoPadding", token);
        ours.init(Cipher.ENCRYPT_MODE, key, new IvParameterSpec(new byte[16]));
        Cipher theirs = Cipher.getInstance("AES/CBC/NoPadding");
        theirs.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(value, "AES"), new IvParameterSpec(new byte[16]));
        equal("encryption with the stored key", ours.doFinal(new byte[64]), theirs.doFinal(new byte[64]));
        again.deleteEntry("services-aes");
        check(!again.containsAlias("services-aes"), "the deleted key is still listed");
    }

    /* Key pairs, made once for each family */

    static KeyPair tokenPair(String family) throws GeneralSecurityException {
        return pair(tokenPairs, family, token);
    }

    static KeyPair softPair(String family) throws GeneralSecurityException {
        return pair(softPairs, family, null);
    }

    static KeyPair pair(Map<String, KeyPair> made, String family, Provider provider) throws GeneralSecurityException {
        KeyPair pair = made.get(family);
        if (pair == null) {
            String algorithm = family.split(" ")[0];
            KeyPairGenerator generator = provider == null ? KeyPairGenerator.getInstance(algorithm) : KeyPairGenerator.getInstance(algorithm, provider);
            switch (family) {
                case "RSA", "DH" -> generator.initialize(2048);
                case "DSA" -> generator.initialize(1024); // every hash goes with a subgroup of 160 bits
                case "EC" -> generator.initialize(new ECGenParameterSpec("secp256r1"));
                case "DH peer" -> generator.initialize(((DHPublicKey) softPair("DH").getPublic()).getParams());
                default -> throw new AssertionError("no test for keys of this algorithm");
            }
            pair = generator.generateKeyPair();
            made.put(family, pair);
        }
        return pair;
    }

    static PublicKey softPublic(PublicKey key, String family) throws GeneralSecurityException {
        KeySpec spec = new X509EncodedKeySpec(key.getEncoded());
        return KeyFactory.getInstance(family).generatePublic(spec);
    }

    /* Helpers */

    static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        new java.util.Random(length).nextBytes(bytes);
        return bytes;
    }

    static byte[] stripped(byte[] number) {
        return new BigInteger(1, number).toByteArray();
    }

    static byte[] concatenate(byte[]... parts) {
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        for (byte[] part : parts) {
            if (part != null) {
                out.writeBytes(part);
            }
        }
        return out.toByteArray();
    }

    static void equal(String what, byte[] got, byte[] want) {
        check(Arrays.equals(got, want), what + " is " + hex(got) + " and not " + hex(want));
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "null" : HexFormat.of().formatHex(bytes);
    }

    static void check(boolean condition, String message) {
        if (!condition) {
            throw new AssertionError(message);
        }
    }

    static String describe(Throwable e) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            text.append(text.length() == 0 ? "" : ", caused by ").append(cause.toString().replace('\n', ' '));
        }
        for (StackTraceElement frame : e.getStackTrace()) {
            if (frame.getClassName().equals("Services")) {
                return text.append(" (line ").append(frame.getLineNumber()).append(")").toString();
            }
        }
        return text.toString();
    }
}
