package engine

import "github.com/perilune/perilune/cryptoki/ck"

func testRawRSA() error                      { return nil }
func testPKCS1Decrypt() error                { return nil }
func testPKCS1Hash(m ck.MechanismType) error { return nil }
func testOAEP() error                        { return nil }
func testPSS(m ck.MechanismType) error       { return nil }
func testRSAAESKeyWrap() error               { return nil }
func testGenerateRSA() error                 { return nil }
func testGenerateEC() error                  { return nil }
func testECDSA(m ck.MechanismType) error     { return nil }
func testECDH() error                        { return nil }
func testGenerateEdwards() error             { return nil }
func testEdDSA() error                       { return nil }
func testGenerateMontgomery() error          { return nil }
