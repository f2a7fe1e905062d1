package keys

// Rest gives back the memory of the ciphers: with AES 1,280 bytes of 1,440. What needs them next
// makes them again, which takes a few microseconds. The ciphers of ChaCha20 are no larger than
// their keys, and stay.
func (k *Keys) Rest() {
	if !k.suite.chacha() {
		k.aead, k.header.block = nil, nil
	}
}

// Awake reports whether Rest would give memory back.
func (k *Keys) Awake() bool { return k.aead != nil && !k.suite.chacha() }

// wake makes sure that the ciphers are there.
func (k *Keys) wake() {
	if k.aead == nil {
		k.remake()
	}
}

// remake makes the ciphers again after Rest.
func (k *Keys) remake() {
	var e expander
	e.init(k.suite, k.secret[:k.suite.hashLen()])
	key := e.label(prefix(k.version), "key", k.suite.keyLen())
	aead, err := k.suite.newAEAD(key[:k.suite.keyLen()])
	if err == nil {
		err = k.header.init(k.suite)
	}
	if err != nil {
		panic("keys: " + err.Error()) // cannot happen: it went well before, with the same keys
	}
	k.aead = aead
}
