// What the process gives up once it serves: it never gains privileges again, and the kernel refuses every
// system call that serving, the private socket and files of the instance's directory don't need.
//
// Called once by main after its threads have been started; holds for all of them.
#pragma once

#include <string>

namespace reflex::net {

// A call that is not on the list fails with EPERM; one that starts a program or looks into another process
// ends this one. False, and a sentence in `*problem`, where the kernel has no such filter: then nothing is
// given up but the gaining of privileges.
bool enter_sandbox(std::string* problem);

}  // namespace reflex::net
