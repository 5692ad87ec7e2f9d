-- A village.

basalt.load("village/houses")
return basalt.load("village/site")
