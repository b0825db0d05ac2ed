# SPDX-License-Identifier: Apache-2.0
"""Ed25519 written out from RFC 8032, section 5.1, so that the verifier shares no code with creel.

It is slow (milliseconds a signature) and not constant-time: verify() is all the verifier needs,
sign() is for test vectors whose keys are no secret. One equation is checked without the cofactor,
non-canonical encodings of S, R and A are refused.
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def _recover_x(y, sign):
    """Section 5.1.3, step 2 to 4; None: no such point."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def _point(x, y):
    return x, y, 1, x * y % P


def _add(a, b):
    """Extended homogeneous coordinates, section 5.1.4."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data):
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = _recover_x(y, sign)
    return None if x is None else _point(x, y)


_BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = _point(_recover_x(_BASE_Y, 0), _BASE_Y)


def _challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def verify(public, message, signature):
    """Section 5.1.7."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = _decode(public), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    right = _add(commitment, _multiply(_challenge(signature[:32], public, message), key))
    return _encode(_multiply(scalar, BASE)) == _encode(right)


def _expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    scalar &= (1 << 254) - 8
    return scalar | 1 << 254, digest[32:]


def public_key(seed):
    return _encode(_multiply(_expand(seed)[0], BASE))


def sign(seed, message):
    """Section 5.1.6."""
    scalar, prefix = _expand(seed)
    nonce = _challenge(prefix, message)
    commitment = _encode(_multiply(nonce, BASE))
    answer = (nonce + _challenge(commitment, public_key(seed), message) * scalar) % ORDER
    return commitment + answer.to_bytes(32, "little")
