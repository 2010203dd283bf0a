"""Judge mathematical answers.

`decision` settles plain cases at once, `worker` asks math-verify in processes that `worker_pool` can kill.
"""
