package codegen

import (
	"github.com/galleybackend/galley/internal/spec"
)

// The verbs of methods that are none of a collection, a view or an action of the app.
const (
	// ProtoSignIn begins a session, ProtoRefresh goes on with one.
	ProtoSignIn  = "sign_in"
	ProtoRefresh = "refresh"
	// ProtoHouse is another operation that every app with sign-in has.
	ProtoHouse = "house"
	// ProtoJob shows a job, ProtoJobFollow until it has ended; ProtoJobCancel ends it.
	ProtoJob       = "job"
	ProtoJobFollow = "job_follow"
	ProtoJobCancel = "job_cancel"
	// ProtoBatch does several at once.
	ProtoBatch = "batch"
	// ProtoFollowWhole follows what is told as a whole: a view, or COLLECTION/aggregate.
	ProtoFollowWhole = "follow_whole"
)

// Streams reports that the answer is a stream.
func (m *ProtoMethod) Streams() bool {
	return m.Verb == "follow" || m.Verb == ProtoFollowWhole || m.Verb == ProtoJobFollow
}

// add adds a method.
func (s *ProtoService) add(name, verb, target, doc string, in, out *ProtoMessage) *ProtoMethod {
	m := &ProtoMethod{Name: name, Doc: doc, Verb: verb, Target: target, Input: in, Output: out}
	s.Methods = append(s.Methods, m)
	return m
}

// signing makes the service of sign-in.
func (b *protoBuilder) signing() {
	if b.spec.Auth == nil {
		return
	}
	s := b.service("Auth", "Signing up, in and out. Tokens go into the metadata authorization, after "+
		"Bearer.")
	in := b.message("SignedIn", "", doc(text("user", 1), "id of users"),
		doc(text("token", 2), "What calls are made with until it expires."),
		doc(text("refresh_token", 3), "Works once, for the next token."), moment("expires", 4))
	if up := b.spec.Auth.SignUp; up != nil {
		m := b.message("SignUpRequest", "", text("email", 1), text("password", 2))
		for _, n := range up.Fields {
			if f := b.sendable(b.spec.Collection(spec.Users), n.Name); f != nil {
				f.Optional = !f.Repeated && b.mayBeLeftOut(spec.Users, f)
				m.Fields = append(m.Fields, f)
			}
		}
		s.add("SignUp", ProtoSignIn, "auth/sign-up", "SignUp makes an account and signs in.", m, in)
	}
	s.add("SignIn", ProtoSignIn, "auth/sign-in", "SignIn begins a session.",
		b.message("SignInRequest", "", text("email", 1), text("password", 2)), in)
	s.add("Refresh", ProtoRefresh, "auth/refresh", "Refresh returns the next token of a session.",
		b.message("RefreshRequest", "", text("refresh_token", 1)), in)
	s.add("SignOut", ProtoHouse, "auth/sign-out", "SignOut ends the session.",
		b.message("SignOutRequest", ""), b.message("SignOutResponse", ""))
	s.add("Session", ProtoHouse, "auth/session", "Session says who is signed in.",
		b.message("SessionRequest", ""), b.message("SessionResponse", "",
			doc(text("user", 1), "id of users"), moment("expires", 2), texts("methods", 3))).Reads = true
}

// jobs makes the service of jobs.
func (b *protoBuilder) jobs() {
	if len(b.spec.Jobs) == 0 {
		return
	}
	s := b.service("Jobs", "What the caller started, and what goes on after the answer.")
	state := &ProtoEnum{Name: b.taken.take("JobState")}
	state.Words = []ProtoWord{{Name: b.taken.take(state.label("UNSPECIFIED"))}}
	for i, word := range []string{"waiting", "running", "done", "failed", "cancelled"} {
		state.Words = append(state.Words, ProtoWord{Name: b.taken.take(state.label(word)),
			Number: int32(i + 1), Word: word})
	}
	b.out.Enums = append(b.out.Enums, state)
	job := b.message("Job", "", text("id", 1), text("name", 2),
		&ProtoField{Name: "state", Number: 3, Kind: ProtoEnumOf, Enum: state},
		&ProtoField{Name: "progress", Number: 4, Kind: ProtoMessageOf, Optional: true,
			Message: b.message("JobProgress", "", whole("done", 1), whole("total", 2))},
		&ProtoField{Name: "result", Number: 5, Kind: ProtoKnown, Known: ProtoValue, Optional: true},
		&ProtoField{Name: "problem", Number: 6, Kind: ProtoMessageOf, Optional: true,
			Doc: "Why it has failed.",
			Message: b.message("JobProblem", "", text("code", 1), text("detail", 2),
				&ProtoField{Name: "data", Number: 3, Kind: ProtoKnown, Known: ProtoValue, Optional: true})})
	ask := func(name string) *ProtoMessage { return b.message(name, "", text("id", 1)) }
	s.add("Get", ProtoJob, "jobs/show", "Get returns how far a job is.", ask("GetJobRequest"),
		job).Reads = true
	s.add("Follow", ProtoJobFollow, "jobs/show", "Follow sends the job whenever it got further, until "+
		"it has ended.", ask("FollowJobRequest"), job).Reads = true
	s.add("Cancel", ProtoJobCancel, "jobs/cancel", "Cancel ends a job before its next step.",
		ask("CancelJobRequest"), b.message("CancelJobResponse", ""))
}

// The scope of the calls of a batch in the lock.
const scopeBatch = "batch:"

// batch makes the service of batches: one call for each method that writes.
func (b *protoBuilder) batch() {
	call := &ProtoMessage{Choice: "call"}
	answer := &ProtoMessage{Doc: "The answer of the call in the same place.", Choice: "answer"}
	names := names{}
	for _, s := range b.out.Services {
		for _, m := range s.Methods {
			name, was, as := m.Verb+"_"+singular(m.Target), "", "call"
			switch m.Verb {
			case "create", "update", "delete":
				if c := b.spec.Collection(m.Target); c != nil && c.Was != "" {
					was = m.Verb + "_" + singular(c.Was)
				}
			case "action":
				name, as = m.Target, "action"
			default:
				continue
			}
			if m.Reads {
				continue
			}
			name = names.take(name)
			n := b.lock.number(scopeBatch, name, was, as, 1)
			call.Fields = append(call.Fields, &ProtoField{Name: name, Number: n, Kind: ProtoMessageOf,
				Message: m.Input})
			answer.Fields = append(answer.Fields, &ProtoField{Name: name, Number: n, Kind: ProtoMessageOf,
				Message: m.Output})
		}
	}
	if len(call.Fields) == 0 {
		return
	}
	s := b.service("Batch", "Several writes in one transaction.")
	for _, m := range []*ProtoMessage{call, answer} {
		m.Name = b.taken.take("Batch" + pascal(m.Choice, false))
		b.out.Messages = append(b.out.Messages, m)
		b.scopes = append(b.scopes, protoScope{path: scopeBatch, message: m})
	}
	s.add("Do", ProtoBatch, "", "Do does all of the calls, in their order, or none of them.",
		b.message("BatchRequest", "", &ProtoField{Name: "calls", Number: 1, Kind: ProtoMessageOf,
			Message: call, Repeated: true}),
		b.message("BatchResponse", "", &ProtoField{Name: "answers", Number: 1, Kind: ProtoMessageOf,
			Message: answer, Repeated: true}))
}

func moment(name string, n int32) *ProtoField {
	return &ProtoField{Name: name, Number: n, Kind: ProtoKnown, Known: ProtoTimestamp, Optional: true}
}

func whole(name string, n int32) *ProtoField {
	return &ProtoField{Name: name, Number: n, Kind: ProtoInt64}
}
