package observe

// Journeys keeps the stories of the last requests.
type Journeys struct{}

func (j *Journeys) take(c *Call) {}
