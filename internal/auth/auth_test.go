package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
)

func TestHashIsVerifiedByItsPasswordOnly(t *testing.T) {
	h, ctx := NewHasher(), context.Background()
	hash, err := h.Hash(ctx, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q is not in PHC form at the promised cost", hash)
	}
	for password, want := range map[string]bool{
		"correct horse battery": true, "correct horse batterz": false, "": false,
		"correct horse battery\x00": false,
	} {
		right, again, err := h.Verify(ctx, hash, password)
		if err != nil || right != want || again {
			t.Errorf("Verify(%q) = %v, %v, %v, want %v", password, right, again, err, want)
		}
	}
	other, err := h.Hash(ctx, "correct horse battery")
	if err != nil || other == hash {
		t.Errorf("two hashes of one password are equal (%v): no salt", err)
	}
}

func TestUnknownAccountIsNeverRight(t *testing.T) {
	right, _, err := NewHasher().Verify(context.Background(), "", "")
	if right || err != nil {
		t.Errorf("Verify of no account = %v, %v", right, err)
	}
}

func TestHashOfAnotherCostIsMadeAgain(t *testing.T) {
	cheap := "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" +
		"aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
	if _, again, err := NewHasher().Verify(context.Background(), cheap, "x"); err != nil || !again {
		t.Errorf("again = %v, %v, want true", again, err)
	}
}

func TestBrokenHashesAreErrors(t *testing.T) {
	for _, hash := range []string{
		"x", "$argon2id$", "$argon2i$v=19$m=64,t=1,p=1$YWFhYQ$YWFhYQ",
		"$argon2id$v=19$m=9999999,t=1,p=1$YWFhYQ$YWFhYWFhYWFhYWFhYWFhYWFhYQ",
		"$argon2id$v=19$m=64,t=1,p=1$YWFhYQ$YQ",
	} {
		right, _, err := NewHasher().Verify(context.Background(), hash, "x")
		if right || !errors.Is(err, errHash) {
			t.Errorf("Verify(%q) = %v, %v", hash, right, err)
		}
	}
}

func TestHasherWaitsNoLongerThanItsContext(t *testing.T) {
	h := NewHasher()
	for range cap(h.turns) {
		h.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Hash(ctx, "x"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Hash = %v, want unavailable", err)
	}
}

func TestTriesTakenAtOncePassOnlyOftenEnough(t *testing.T) {
	tries := NewTries(time.Now)
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if tries.Take("ana", TriesAccount) == nil {
				passed.Add(1)
			}
		})
	}
	group.Wait()
	if passed.Load() != TriesAccount {
		t.Errorf("%d tries passed, want %d", passed.Load(), TriesAccount)
	}
}

func TestTriesComeBackWithTimeAndWhenGiven(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	tries := NewTries(func() time.Time { return now })
	for range TriesAccount {
		if err := tries.Take("ana", TriesAccount); err != nil {
			t.Fatal(err)
		}
	}
	var f *fault.Fault
	err := tries.Take("ana", TriesAccount)
	if !errors.As(err, &f) || f.Kind != fault.Exhausted || f.RetryAfter != 15*60 {
		t.Errorf("Take = %v, want rate_limited for 900 s", err)
	}
	if err := tries.Take("bo", TriesAccount); err != nil {
		t.Errorf("another name is held back: %v", err)
	}
	tries.Give("ana")
	if err := tries.Take("ana", TriesAccount); err != nil {
		t.Errorf("a try that was given back is not there: %v", err)
	}
	now = now.Add(TriesTime)
	if err := tries.Take("ana", TriesAccount); err != nil {
		t.Errorf("tries do not come back with time: %v", err)
	}
}

func TestTriesHoldABoundedNumberOfNames(t *testing.T) {
	now := time.Now()
	tries := NewTries(func() time.Time { return now })
	for i := range triesMax {
		tries.names[strings.Repeat("x", 3)+string(rune(i))+"|"+time.Duration(i).String()] =
			struct {
				count int
				since time.Time
			}{1, now}
	}
	if err := tries.Take("one more", 5); err == nil && len(tries.names) > triesMax {
		t.Errorf("%d names are counted, bound %d", len(tries.names), triesMax)
	}
}

func TestTokensDifferAndAreStoredAsHashes(t *testing.T) {
	a, b := NewToken(), NewToken()
	if a == b || len(a) < 43 || HashToken(a) == a || HashToken(a) == HashToken(b) {
		t.Errorf("tokens %q %q, hash %q", a, b, HashToken(a))
	}
}
