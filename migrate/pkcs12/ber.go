package pkcs12

import (
	"errors"
	"math"
)

var errDamaged = errors.New("it is damaged, or no PKCS #12 file")

// maxDepth bounds how deep elements nest.
const maxDepth = 32

// toDER rewrites BER as DER as far as key stores need it: lengths that are not
// given beforehand, or not in the shortest form, and octet strings in parts. Older
// programs write such files.
func toDER(ber []byte) ([]byte, error) {
	der, rest, err := element(ber, 0)
	if err == nil && len(rest) > 0 {
		err = errDamaged
	}
	return der, err
}

// element rewrites the first element.
func element(ber []byte, depth int) (der, rest []byte, err error) {
	if depth > maxDepth || len(ber) < 2 {
		return nil, nil, errDamaged
	}
	tag := ber[0]
	if tag&0x1f == 0x1f { // tags above 30 do not occur
		return nil, nil, errDamaged
	}
	length, body, err := readLength(ber[1:])
	if err != nil {
		return nil, nil, err
	}
	compound := tag&0x20 != 0
	if length == indefinite {
		if !compound {
			return nil, nil, errDamaged
		}
		parts, rest, err := elements(body, true, depth)
		return join(tag, parts), rest, err
	}
	if length > len(body) {
		return nil, nil, errDamaged
	}
	if !compound {
		return wrap(tag, body[:length]), body[length:], nil
	}
	parts, _, err := elements(body[:length], false, depth)
	return join(tag, parts), body[length:], err
}

// elements rewrites all elements, up to the end, or to the mark of the end.
func elements(ber []byte, marked bool, depth int) (parts [][]byte, rest []byte, err error) {
	for len(ber) > 0 {
		if marked && len(ber) >= 2 && ber[0] == 0 && ber[1] == 0 {
			return parts, ber[2:], nil
		}
		var part []byte
		if part, ber, err = element(ber, depth+1); err != nil {
			return nil, nil, err
		}
		parts = append(parts, part)
	}
	if marked {
		return nil, nil, errDamaged
	}
	return parts, nil, nil
}

const octetString = 4

// join makes a compound element of its parts; of octet strings one octet string.
func join(tag byte, parts [][]byte) []byte {
	var body []byte
	for _, p := range parts {
		if tag == octetString|0x20 {
			if p[0] != octetString {
				return wrap(tag, p) // refused by who reads it
			}
			_, p, _ = readLength(p[1:])
		}
		body = append(body, p...)
	}
	if tag == octetString|0x20 {
		tag = octetString
	}
	return wrap(tag, body)
}

const indefinite = -1

func readLength(b []byte) (n int, body []byte, err error) {
	first := int(b[0])
	switch {
	case first == 0x80:
		return indefinite, b[1:], nil
	case first < 0x80:
		return first, b[1:], nil
	}
	size := first & 0x7f
	if size > 4 || len(b) < 1+size {
		return 0, nil, errDamaged
	}
	for _, c := range b[1 : 1+size] {
		n = n<<8 | int(c)
	}
	if n > math.MaxInt32 {
		return 0, nil, errDamaged
	}
	return n, b[1+size:], nil
}

func wrap(tag byte, body []byte) []byte {
	n := len(body)
	if n < 0x80 {
		return append([]byte{tag, byte(n)}, body...)
	}
	var digits []byte
	for m := n; m > 0; m >>= 8 {
		digits = append([]byte{byte(m)}, digits...)
	}
	return append(append([]byte{tag, 0x80 | byte(len(digits))}, digits...), body...)
}
