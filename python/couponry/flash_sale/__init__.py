"""Flash sales: fast, exact, nothing lost. Redis decides each claim, MySQL keeps each win.

The protocol between the two is model-checked: `fence.py` and `outbox.py` keep its steps in its order and names.

Layout:
- `wire`: what Redis holds, as values; `sale`: the scripts as calls
- `wins`: wins become rows; `outbox`: from the outbox to MySQL, exactly once; `fence`: which Redis is this
- `claims`: claims in batches; `participate`: the use case around them; `rows`,
  `replicas`: answers at ack = MYSQL and REPLICA
- `activities`, `configure`, `adjustments`, `settle`: an activity's life; `upkeep`: what a crash left undone
- `stock`, `records`, `pending`, `audit`: reading
"""
