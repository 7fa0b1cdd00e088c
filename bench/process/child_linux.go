package process

import "syscall"

// Mortal makes processes that the kernel kills when this one dies in whatever
// way, and get no signals that are meant for this one.
func Mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// MortalAs is Mortal, of another user. Only root can have them.
func MortalAs(uid, gid int) *syscall.SysProcAttr {
	who := Mortal()
	who.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return who
}
