"""What a user meets when the GPU cannot do it: one clear line, the documented exit code, the last checkpoint intact."""

import shutil

from gpu_check.sections.repeat import training, values_hash

OUT_OF_MEMORY, UNUSABLE = 7, 4


def expect(session, name, ended, code, word):
    lines = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    if ended.how != "exit":
        return session.say(name, ended)
    line = lines[-1] if lines else "no line that begins with 'error:'"
    good = ended.code == code and len(lines) == 1 and word in line
    session.row(
        name,
        f"exit code {ended.code}" + ("" if good else f", expected {code} and one line with '{word}'") + f": {line}",
        "ok" if good else "failed",
    )


def errors(session):
    if not session.cuda:
        return session.row("errors of a GPU", "for cuda", "skipped")
    run = session.state / "errors"
    shutil.rmtree(run, ignore_errors=True)
    ended = session.run("errors checkpoint", training(session, run, 1, "bf16"), 90)
    if not ended.ok:
        return session.say("one step before", ended)
    checkpoint = run / "checkpoints/step-00000001.safetensors"
    before = values_hash(checkpoint)
    # Continued with views so large that no GPU holds the activations.
    words = training(session, run, 2, "bf16", "--image_size", 1024, "--resume_override")
    expect(session, "GPU out of memory", session.run("errors memory", words, 90), OUT_OF_MEMORY, "on the GPU")
    same = checkpoint.is_file() and values_hash(checkpoint) == before
    session.row("checkpoint after that", "as it was" if same else "changed or gone", "ok" if same else "failed")
    for name, variable, value, word in (
        ("no GPU to be seen", "CUDA_VISIBLE_DEVICES", "-1", "GPU"),
        ("cuDNN is not there", "DCL_CUDNN", "/nonexistent/libcudnn.so.9", "cudnn"),
    ):
        ended = session.run(
            f"errors {variable}", training(session, run, 2, "bf16"), 60, {**session.environment, variable: value}
        )
        expect(session, name, ended, UNUSABLE, word)
    shutil.rmtree(run, ignore_errors=True)
