package browser

import (
	"fmt"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// dragSteps is how many times a pointer is seen between where it begins and where it ends.
const dragSteps = 8

// Center is the middle of an element on the screen.
func (p Page) Center(selector string) (x, y float64) {
	p.t.Helper()
	at := Value[[]float64](p, fmt.Sprintf(`(() => {
		const box = document.querySelector(%s).getBoundingClientRect();
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`, Quote(selector)))
	return at[0], at[1]
}

// Move moves the mouse, with no button down.
func (p Page) Move(x, y float64) {
	p.t.Helper()
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// Grasp presses the mouse on the middle of an element and moves it there, where it stays
// pressed.
func (p Page) Grasp(selector string, x, y float64) {
	p.t.Helper()
	fromX, fromY := p.Center(selector)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, fromX, fromY,
		chromedp.ButtonLeft, chromedp.ClickCount(1)))
	for i := range dragSteps {
		part := float64(i+1) / dragSteps
		p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved,
			fromX+(x-fromX)*part, fromY+(y-fromY)*part, chromedp.ButtonLeft))
	}
}

// Release lets the button of the mouse go.
func (p Page) Release(x, y float64) {
	p.t.Helper()
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, x, y,
		chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

// Touch puts a finger on the middle of an element, leaves it there until an expression holds,
// moves it, and lifts it.
func (p Page) Touch(selector, until string, x, y float64) {
	p.t.Helper()
	fromX, fromY := p.Center(selector)
	p.finger(input.DispatchTouchEventTypeTouchStart, &input.TouchPoint{X: fromX, Y: fromY})
	p.Until(until)
	for i := range dragSteps {
		part := float64(i+1) / dragSteps
		p.finger(input.DispatchTouchEventTypeTouchMove,
			&input.TouchPoint{X: fromX + (x-fromX)*part, Y: fromY + (y-fromY)*part})
	}
	p.Frame()
	p.finger(input.DispatchTouchEventTypeTouchEnd)
}

func (p Page) finger(kind input.DispatchTouchEventType, points ...*input.TouchPoint) {
	p.t.Helper()
	if points == nil {
		points = []*input.TouchPoint{}
	}
	_, err := chromedp.Call(p.ctx, input.DispatchTouchEvent,
		input.DispatchTouchEventParams{Type: kind, TouchPoints: points})
	if err != nil {
		p.fatal(err)
	}
}

// Frame waits until the page has been drawn twice.
func (p Page) Frame() {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](`new Promise((done) =>
		requestAnimationFrame(() => requestAnimationFrame(() => done())))`, chromedp.EvalAwaitPromise))
}

// Keys presses keys one after the other, where the focus is.
func (p Page) Keys(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// Reload loads the page again.
func (p Page) Reload() {
	p.t.Helper()
	p.do(chromedp.Reload())
}
