package twins

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/internal/action/actiontest/testdata/twins/app"
)

func like(tx *galley.Tx, in app.LikeInput) (out app.LikeOutput, err error) {
	db := app.DB(tx)
	post, err := db.Posts.First(galley.Fields{"title": in.Title})
	if err != nil {
		return out, err
	}
	if post == nil {
		made, err := db.Posts.Insert(app.Post{Title: in.Title})
		if err != nil {
			return out, err
		}
		post = &made
	}
	me := app.Me(tx)
	if _, err := db.Likes.Insert(app.Like{Post: post.ID, User: me.ID}); err != nil {
		return out, err
	}
	if out.Job, err = app.StartCredit(tx, app.CreditInput{User: me.ID, Amount: in.Amount}); err != nil {
		return out, err
	}
	err = app.SendThanks(tx, galley.Letter{To: []string{string(me.ID), "bo@example.com"},
		Record: post.ID, Data: map[string]int{"n": 1}})
	if err != nil {
		return out, err
	}
	err = tx.Publish("post/"+string(post.ID), map[string]any{"by": me.Name, "likes": 1})
	if err != nil {
		return out, err
	}
	now, err := db.Posts.Get(post.ID)
	out.Likes = now.Likes
	return out, err
}

func unlike(tx *galley.Tx, in app.UnlikeInput) (out none, err error) {
	posts := app.DB(tx).Posts
	post, err := posts.First(galley.Fields{"title": in.Title})
	if err != nil {
		return out, err
	}
	return out, posts.Delete(post.ID)
}

func log(tx *galley.Tx, format string, args ...any) error {
	_, err := app.DB(tx).Logs.Insert(app.Log{Text: fmt.Sprintf(format, args...)})
	return err
}

func liked(tx *galley.Tx, like app.Like) error {
	post, err := app.DB(tx).Posts.Patch(like.Post, galley.Fields{"likes": galley.Add(1)})
	if err == nil && post.Title == "closed" {
		err = galley.Refuse(app.Declined)
	}
	return err
}

func unliked(tx *galley.Tx, like app.Like) error {
	user, err := app.DB(tx).Users.Get(like.User)
	if err != nil {
		return err
	}
	return log(tx, "unliked by %s", user.Name)
}

func changed(tx *galley.Tx, post, before app.Post) error {
	return log(tx, "%d to %d", before.Likes, post.Likes)
}

func gone(tx *galley.Tx, post app.Post) error { return log(tx, "%s is gone", post.Title) }

func credit(job *galley.Job, in app.CreditInput) error {
	paid, err := galley.Do(job, "pay", func(ctx context.Context, s galley.Step) (p struct {
		ID string `json:"id"`
	}, err error) {
		body := url.Values{"amount": {fmt.Sprint(in.Amount)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pay.example/pay",
			strings.NewReader(body.Encode()))
		if err != nil {
			return p, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
		req.Header.Set("Authorization", "Bearer "+job.Secret("PAY_KEY"))
		req.Header.Set("Idempotency-Key", s.Key)
		res, err := s.Client.Do(req)
		if err != nil {
			return p, err
		}
		defer res.Body.Close()
		switch {
		case res.StatusCode == http.StatusPaymentRequired:
			return p, galley.Fail(app.Declined)
		case res.StatusCode >= 300:
			return p, fmt.Errorf("it answered %d", res.StatusCode)
		}
		return p, json.NewDecoder(res.Body).Decode(&p)
	})
	if err != nil {
		return err
	}
	job.Progress(1, 2)
	if err := job.Sleep("a while", 90*time.Second); err != nil {
		return err
	}
	var event struct{ N int64 }
	if err := job.Wait("webhook:paid", time.Hour, &event); err != nil && galley.Code(err) != "timeout" {
		return err
	}
	err = job.Transaction("credit", func(tx *galley.Tx) error {
		users := app.DB(tx).Users
		user, err := users.Get(in.User)
		if err != nil {
			return err
		}
		if _, err := users.Patch(in.User, galley.Fields{"wallet": user.Wallet + in.Amount}); err != nil {
			return err
		}
		return log(tx, "%s %d %s %d", paid.ID, event.N, job.ID(), job.Attempt())
	})
	if err != nil {
		return err
	}
	job.Progress(2, 2)
	return nil
}

func heard(job *galley.Job, like app.Like) error {
	return job.Transaction("note", func(tx *galley.Tx) error { return log(tx, "heard of %s", like.Post) })
}

func paid(tx *galley.Tx, e galley.Event) error {
	var body struct{ N int64 }
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return err
	}
	return log(tx, "%s %d %s %d", e.ID, body.N, e.Headers["x-a"], len(e.Raw))
}

func greet(_ *galley.Tx, r galley.Request) (galley.Response, error) {
	var in struct{ Loud *bool }
	if err := json.Unmarshal(r.Input, &in); err != nil {
		return galley.Response{}, err
	}
	text := fmt.Sprintf("hello %s %s %s %s", r.Params["name"], r.Query["q"], r.Headers["x-a"], r.Method)
	if in.Loud != nil && *in.Loud {
		text = strings.ToUpper(text)
	}
	return galley.Response{Headers: map[string][]string{"x-n": {"1", "2"}}, Body: []byte(text)}, nil
}
