// `cmake --install` into a fresh prefix, and the same prefix elsewhere.
#include <gtest/gtest.h>

#include <filesystem>

#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/process.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

/// The program runs from `prefix`; with LibTorch its library is found and loaded there.
void expect_working(const std::string& prefix) {
  SCOPED_TRACE(prefix);
  const std::string program = prefix + "/bin/regroup";
  const Finished version = run_process(program, {"--version"});
  EXPECT_EQ(version.exit_code, 0) << version.err;
  EXPECT_TRUE(version.out.starts_with("regroup "));
  const Finished plan = run_process(program, {"plan", "docs/examples/llama-2-13b.config.json"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  const Finished generate = run_process(program, {"generate", prefix + "/none", "--prompt", "x"});
#ifdef REGROUP_HAS_TORCH
  EXPECT_TRUE(contains(generate.err, "error[MODEL_MISSING]"));
#else
  EXPECT_TRUE(contains(generate.err, "error[LIBTORCH]"));
  EXPECT_TRUE(contains(generate.err, "/regroup/libregroup_torch.so"));  // where it would lie
#endif
}

TEST(Install, WorksAlsoAfterItsPrefixIsMoved) {
  const TemporaryFolder folder;
  const std::string prefix = folder / "first";
  const Finished install =
      run_process(REGROUP_CMAKE, {"--install", REGROUP_BUILD, "--prefix", prefix});
  ASSERT_EQ(install.exit_code, 0) << install.err;
  expect_working(prefix);
  fs::rename(prefix, folder / "second");
  expect_working(folder / "second");
  // Called through a link of the user's own.
  fs::create_symlink(folder / "second/bin/regroup", folder / "link");
  EXPECT_EQ(run_process(folder / "link", {"--version"}).exit_code, 0);

  const std::string share = folder / "second/share";
  for (const char* file : {"/bash-completion/completions/regroup", "/zsh/site-functions/_regroup",
                           "/fish/vendor_completions.d/regroup.fish", "/man/man1/regroup.1",
                           "/man/man1/regroup-convert.1", "/doc/regroup/LICENSE"}) {
    EXPECT_TRUE(path_exists(share + file)) << file;
  }
  const std::string man = read_file(share + "/man/man1/regroup-convert.1");
  EXPECT_TRUE(contains(man, ".SH NAME\nregroup\\-convert \\- Merge the key/value heads"));
  EXPECT_TRUE(contains(man, "\\-\\-kv\\-heads"));
}

}  // namespace
}  // namespace regroup::testing
