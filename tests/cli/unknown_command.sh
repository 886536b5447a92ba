quern pakc --run x
