#include "pod.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace carrel::sandbox {
namespace {

// $1 to $5 are the jailer as the fixture calls it. Its files may lie in /tmp, which the pod has for itself: they are
// shown below /mnt.
constexpr char kWorld[] = R"sh(
bin=$(dirname "$1") tests=$(dirname "$3") runtimes=$5
shift 5
mount --make-rprivate /
mount -t tmpfs -o mode=755 pod /mnt
mkdir /mnt/bin /mnt/tests /mnt/runtimes /mnt/data
mount --bind "$bin" /mnt/bin
mount --bind "$tests" /mnt/tests
cp -r "$runtimes/." /mnt/runtimes
sed -i "s|$tests|/mnt/tests|" /mnt/runtimes/forks/manifest
chown -R 0:0 /mnt/runtimes
chmod -R u=rwX,go=rX /mnt/runtimes
for place in /mnt/data /tmp /dev/shm; do
  mount -t tmpfs -o mode=1777,size=32m,nr_inodes=2k pod $place
done
CHANGE
cd /
exec setpriv PRIVILEGES --no-new-privs \
  /mnt/tests/without_calls 'CALLS' /mnt/bin/carrel-jailer --server /mnt/tests/jailer_relay --runtimes /mnt/runtimes "$@"
)sh";

}  // namespace

JailerUnderTest::Options InPod(const Pod& pod) {
  const bool root = ::geteuid() == 0;
  const std::string as_user = root ? "--reuid 12345 --regid 12345 --clear-groups --inh-caps=-all --bounding-set=-all"
                                   : "--inh-caps=-all --bounding-set=-all";
  const std::string privileges =
      pod.capabilities.empty() ? as_user : absl::StrCat("--inh-caps=-all --bounding-set=-all,", pod.capabilities);
  std::ostringstream calls;
  calls << std::ifstream(CARREL_POD_SYSCALLS).rdbuf() << pod.refused_calls;
  const std::string text = absl::StrReplaceAll(calls.str(), {{"'", "'\\''"}});
  const std::string world =
      absl::StrReplaceAll(kWorld, {{"CHANGE", pod.change}, {"PRIVILEGES", privileges}, {"CALLS", text}});
  JailerUnderTest::Options options{.arguments = pod.arguments, .world = world, .unshare = {"--mount"}};
  return options;
}

}  // namespace carrel::sandbox
