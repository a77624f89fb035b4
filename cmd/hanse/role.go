package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
)

// runRole checks a role's flags, and runs it until it fails or is told to stop.
func runRole(cmd *cobra.Command, validate func() error, log logOptions, role func(context.Context, *slog.Logger) error) error {
	if err := validate(); err != nil {
		return err
	}
	logger, err := log.logger()
	if err != nil {
		return err
	}
	return untilTold(cmd.Context(), func(ctx context.Context) error { return role(ctx, logger) })
}

// untilTold runs a role. One that was told to stop has not failed, wherever it stood.
func untilTold(ctx context.Context, role func(context.Context) error) error {
	if err := role(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}
