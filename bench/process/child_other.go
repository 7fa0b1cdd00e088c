//go:build !linux

package process

import "syscall"

// Mortal makes processes that are ended when this one ends in order.
func Mortal() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// MortalAs is Mortal: of this user.
func MortalAs(int, int) *syscall.SysProcAttr { return Mortal() }
