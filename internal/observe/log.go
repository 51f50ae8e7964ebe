package observe

import "log/slog"

func write(log *slog.Logger, c *Call) {}
